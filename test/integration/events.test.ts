/** What a watcher hears of a real berthd, over its death and return. */

import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { create, hasEnded, idOf, seconds, sharedNode, shell, untilWritten, waitFor } from "./life-support/support.ts";
import { Watcher } from "./life-support/watcher.ts";
import { CLASSES } from "./node.ts";

describe.each(CLASSES)("under $name", ({ name: runtimeClass }) => {
  const node = sharedNode();

  test("a watcher hears of start, exit, stop and delete, also of what happens while berthd is dead; no gap, no double", async () => {
    const there = await create(node(), "there", runtimeClass, [shell(node(), "app", "echo ready; exec sleep 1000")]);
    const watcher = new Watcher(node());
    try {
      await waitFor("the snapshot", () => watcher.begun);
      expect([...watcher.snapshot]).toEqual([[idOf(there), "RUNNING"]]);
      const one = await create(node(), "one", runtimeClass, [
        shell(node(), "quick", "exit 3"),
        shell(node(), "slow", "echo ready; sleep 2; exit 4"),
      ]);
      const id = idOf(one);
      await untilWritten(node(), id, "slow", "ready");
      await waitFor("the first exit", () => watcher.of(id).includes("container.exited quick 3"));
      await node().endDaemon("SIGKILL");
      await sleep(2500);
      await node().startDaemon();
      await node().until(id, hasEnded);
      await node().sandboxes.stop({ id: idOf(there), gracePeriod: seconds(0) });
      await node().sandboxes.delete({ id });
      await waitFor("the last event", () => watcher.of(id).at(-1) === "sandbox.deleted");
      await waitFor("the stop", () => watcher.of(idOf(there)).includes("container.exited app 137"));

      const heard = watcher.of(id);
      expect(heard[0]).toBe("sandbox.created");
      for (const once of ["container.started quick", "container.exited quick 3", "container.started slow", "container.exited slow 4"])
        expect(heard.filter((line) => line === once)).toEqual([once]);
      const end = watcher.events.find(({ kind, sandboxId }) => kind === "sandbox.deleted" && sandboxId === id)?.end;
      expect(end?.containers.map(({ name, exitCode }) => `${name} ${exitCode}`)).toEqual(["quick 3", "slow 4"]);
      const { numbers } = watcher;
      expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
      const { stdout } = await node().berth("events", "--sandbox", id, "--kind", "container.exited");
      expect(
        [...stdout.matchAll(/ default\/one\/(?<app>quick|slow) {2}EXITED {2}exit code (?<code>\d)/g)].map(([, ...found]) => found),
      ).toEqual([
        ["quick", "3"],
        ["slow", "4"],
      ]);
    } finally {
      await watcher.end();
    }
  });
});
