import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { CLASSES } from "./node.ts";
import { create, hasEnded, idOf, seconds, sharedNode, shell, told, untilWritten, waitFor } from "./life-support/support.ts";

const node = sharedNode();

/** Says how often it was started, by a file in its root, and ends with that number when it is told to. */
const COUNTS_STARTS = "echo x >>/starts; n=$(wc -l </starts); trap 'exit '$n TERM; echo start $n; while :; do sleep 0.02; done";
/** Counts on and on, in a file of its own. */
const TICKS = "trap 'exit 3' TERM; echo ready; i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done";

const lines = async (id: string): Promise<number> => (await node().output(id, "app")).split("\n").length;

async function get(id: string) {
  const { sandbox } = await node().sandboxes.get({ target: { case: "id", value: id } });
  if (!sandbox) throw new Error("berthd answered no sandbox");
  return sandbox;
}

describe.each(CLASSES)("under $name", ({ name: runtimeClass }) => {
  test("a start after a stop runs the apps once more, on what they had written; the exit code is that of the last run", async () => {
    const first = await create(node(), "again", runtimeClass, [shell(node(), "app", COUNTS_STARTS), shell(node(), "brief", "exit 7")]);
    const id = idOf(first);
    for (const round of [1, 2, 3]) {
      await untilWritten(node(), id, "app", `start ${round}\n`);
      await node().until(id, (sandbox) => told(sandbox).containers["brief"] === "EXITED 7");
      const { sandbox: stopped } = await node().sandboxes.stop({ id });
      expect(told(stopped)).toEqual({ state: "STOPPED", containers: { app: `EXITED ${round}`, brief: "EXITED 7" } });
      const { sandbox: started } = await node().sandboxes.start({ id });
      expect(told(started).state).toBe("RUNNING");
      expect(told(started).containers["app"]).toBe("RUNNING");
      expect(started?.status?.containers[0]?.exitCode).toBeUndefined();
      expect(started?.status?.finishedAt).toBeUndefined();
      expect(started?.metadata?.generation).toBe(BigInt(round + 1));
      expect(started?.status?.stages.filter(({ name }) => name === "rootfs")).toHaveLength(1);
    }
    await untilWritten(node(), id, "app", "start 4\n");
    expect(await node().output(id, "app")).toBe("start 1\nstart 2\nstart 3\nstart 4\n");
  });

  test("one that has completed is started again", async () => {
    const id = idOf(await create(node(), "ended", runtimeClass, [shell(node(), "app", "echo x >>/starts; exit $(wc -l </starts)")]));
    expect(told(await node().until(id, hasEnded))).toEqual({ state: "COMPLETED", containers: { app: "EXITED 1" } });
    expect(told((await node().sandboxes.start({ id })).sandbox).state).toMatch(/RUNNING|COMPLETED/);
    expect(told(await node().until(id, hasEnded))).toEqual({ state: "COMPLETED", containers: { app: "EXITED 2" } });
  });

  test("a paused sandbox stands still, also over a restart of berthd, and goes on where it was", async () => {
    const id = idOf(await create(node(), "frozen", runtimeClass, [shell(node(), "app", TICKS)]));
    await untilWritten(node(), id, "app", "ready\n1\n2\n");
    expect(told((await node().sandboxes.pause({ id })).sandbox)).toEqual({ state: "PAUSED", containers: { app: "RUNNING" } });
    const then = await lines(id);
    await sleep(300);
    expect(await lines(id)).toBe(then);
    expect(told((await node().sandboxes.pause({ id })).sandbox).state).toBe("PAUSED");
    await node().endDaemon("SIGKILL");
    await node().startDaemon();
    expect(told(await get(id))).toEqual({ state: "PAUSED", containers: { app: "RUNNING" } });
    expect(await lines(id)).toBe(then);
    expect(told((await node().sandboxes.resume({ id })).sandbox).state).toBe("RUNNING");
    await waitFor("more output", async () => (await lines(id)) > then);
    expect(told((await node().sandboxes.resume({ id })).sandbox).state).toBe("RUNNING");
    expect(told((await node().sandboxes.stop({ id, gracePeriod: seconds(20) })).sandbox)).toEqual({
      state: "STOPPED",
      containers: { app: "EXITED 3" },
    });
    const output = (await node().output(id, "app")).trimEnd().split("\n").slice(1);
    expect(output).toEqual(output.map((_, index) => String(index + 1)));
  });

  test("a paused sandbox gets its stop signal when it is stopped, and is deleted with a grace and without", async () => {
    for (const end of ["stop", "delete", "kill"] as const) {
      const id = idOf(await create(node(), "frozen", runtimeClass, [shell(node(), "app", TICKS)]));
      await untilWritten(node(), id, "app", "ready");
      await node().sandboxes.pause({ id });
      if (end === "stop") {
        const { sandbox } = await node().sandboxes.stop({ id, gracePeriod: seconds(20) });
        expect(told(sandbox)).toEqual({ state: "STOPPED", containers: { app: "EXITED 3" } });
      }
      expect(await node().sandboxes.delete({ id, gracePeriod: seconds(end === "delete" ? 20 : 0) })).toMatchObject({ existed: true });
      expect(node().leftovers()).toEqual([]);
    }
  });
});
