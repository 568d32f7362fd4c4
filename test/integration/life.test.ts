import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { SandboxState } from "../../src/gen/berth/v1/sandbox_pb.js";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { CLASSES } from "./node.ts";
import { create, hasEnded, idOf, seconds, sharedNode, shell, told, untilWritten } from "./life-support/support.ts";

const node = sharedNode();

const polite = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
const deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
const signalled = "trap 'exit 5' USR1; trap 'exit 6' TERM; echo ready; while :; do sleep 0.05; done";

describe.each(CLASSES)("under $name", ({ name: runtimeClass }) => {
  test("stop sends each app its own stop signal and KILL after the grace; codes and logs stay, also over a second stop", async () => {
    const image = busyboxImage(join(node().dir, "image-usr1"), { config: { Cmd: ["/bin/sh"], StopSignal: "SIGUSR1" } });
    const id = idOf(
      await create(node(), "stopped", runtimeClass, [
        shell(node(), "polite", polite),
        shell(node(), "deaf", deaf),
        { ...shell(node(), "signalled", signalled), image },
      ]),
    );
    for (const app of ["polite", "deaf", "signalled"]) await untilWritten(node(), id, app, "ready");
    const first = await node().sandboxes.stop({ id, gracePeriod: seconds(1) });
    const expected = { state: "STOPPED", containers: { polite: "EXITED 3", deaf: "EXITED 137", signalled: "EXITED 5" } };
    expect(told(first.sandbox)).toEqual(expected);
    expect(first.sandbox?.status?.reason).toBe("");
    expect(first.sandbox?.status?.pause?.reason).toBe("Stopped");
    const again = await node().sandboxes.stop({ id });
    expect(again.sandbox).toEqual(first.sandbox);
    expect((await node().sandboxes.get({ target: { case: "id", value: id } })).sandbox).toEqual(first.sandbox);
    for (const app of ["polite", "deaf", "signalled"]) expect(await node().output(id, app)).toBe("ready\n");
  });

  test("apps that end at once, and one whose child holds its output open, leave true codes; a stop afterwards changes nothing", async () => {
    const id = idOf(
      await create(node(), "brief", runtimeClass, [
        { name: "zero", image: node().image, command: ["/bin/true"] },
        { name: "one", image: node().image, command: ["/bin/false"] },
        shell(node(), "many", "exit 255"),
        shell(node(), "holding", "sleep 1000 & echo parent; exit 4"),
      ]),
    );
    const completed = await node().until(id, hasEnded);
    const expected = { state: "COMPLETED", containers: { zero: "EXITED 0", one: "EXITED 1", many: "EXITED 255", holding: "EXITED 4" } };
    expect(told(completed)).toEqual(expected);
    expect(completed.status?.containers.map(({ reason }) => reason)).toEqual(["Completed", "Error", "Error", "Error"]);
    expect(await node().output(id, "holding")).toBe("parent\n");
    expect(told((await node().sandboxes.stop({ id })).sandbox)).toEqual(expected);
  });

  test("a running sandbox is deleted with a grace and without, and its name is free at once", async () => {
    const containers = [shell(node(), "app", "echo ready; exec sleep 1000")];
    for (let round = 0; round < 2; round += 1) {
      const id = idOf(await create(node(), "deleted", runtimeClass, containers));
      await untilWritten(node(), id, "app", "ready");
      expect(await node().sandboxes.delete({ id, gracePeriod: seconds(round / 2) })).toMatchObject({ existed: true });
      expect(node().leftovers()).toEqual([]);
    }
  });

  test("a grace of nothing kills at once", async () => {
    const id = idOf(await create(node(), "killed", runtimeClass, [shell(node(), "app", polite)]));
    await untilWritten(node(), id, "app", "ready");
    const { sandbox } = await node().sandboxes.stop({ id, gracePeriod: seconds(0) });
    expect(told(sandbox)).toEqual({ state: "STOPPED", containers: { app: "EXITED 137" } });
  });
});

test.each([
  { runtimeClass: "runsc", count: 4 },
  { runtimeClass: "runc", count: 10 },
])("$count sandboxes are created under $runtimeClass at once, each with its own code and output", async ({ runtimeClass, count }) => {
  const numbers = Array.from({ length: count }, (_, index) => index);
  const created = await Promise.all(
    numbers.map((number) => create(node(), `many-${number}`, runtimeClass, [shell(node(), "app", `echo I am ${number}; exit ${number}`)])),
  );
  const ids = created.map(idOf);
  expect(new Set(ids).size).toBe(count);
  const ended = await Promise.all(ids.map((id) => node().until(id, hasEnded)));
  expect(ended.map(({ status }) => [status?.state, status?.containers[0]?.exitCode])).toEqual(
    numbers.map((number) => [SandboxState.COMPLETED, number]),
  );
  const outputs = await Promise.all(ids.map((id) => node().output(id, "app")));
  expect(outputs).toEqual(numbers.map((number) => `I am ${number}\n`));
});

test("64 containers live in one sandbox, each with its own code and output", async () => {
  const numbers = Array.from({ length: 64 }, (_, index) => index);
  const id = idOf(
    await create(
      node(),
      "crowd",
      "crun",
      numbers.map((number) => shell(node(), `app-${number}`, `echo I am ${number}; exit ${number}`)),
    ),
  );
  const ended = await node().until(id, hasEnded);
  expect(told(ended)).toEqual({
    state: "COMPLETED",
    containers: Object.fromEntries(numbers.map((number) => [`app-${number}`, `EXITED ${number}`])),
  });
  const outputs = await Promise.all(numbers.map((number) => node().output(id, `app-${number}`)));
  expect(outputs).toEqual(numbers.map((number) => `I am ${number}\n`));
});
