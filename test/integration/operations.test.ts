import { mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { WaitUntil } from "../../src/gen/berth/v1/sandboxes_pb.js";
import type { Sandbox } from "../../src/gen/berth/v1/sandbox_pb.js";
import { CLASSES } from "./node.ts";
import {
  create,
  type FaultyRuntime,
  faultyRuntime,
  hasEnded,
  idOf,
  refusalFrom,
  seconds,
  sharedNode,
  shell,
  told,
  untilWritten,
  waitFor,
} from "./life-support/support.ts";

const scripts = mkdtempSync("/tmp/berth-faulty-");
const [runc, runsc] = ["runc", "runsc"].map((name) => {
  const real = CLASSES.find((entry) => entry.name === name);
  if (!real) throw new Error(`${name} is always tested`);
  return faultyRuntime(scripts, real);
}) as [FaultyRuntime, FaultyRuntime];
const node = sharedNode({ runtimeClasses: [runc.runtimeClass, runsc.runtimeClass] });
afterAll(() => rmSync(scripts, { recursive: true, force: true }));

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

const app = () => [shell(node(), "app", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done")];

describe("a create that waits for less than the end", () => {
  const call = (waitUntil: WaitUntil, image = node().image) =>
    node().sandboxes.create({
      metadata: { name: "early" },
      spec: { runtimeClassName: runc.className, containers: app().map((container) => ({ ...container, image })) },
      waitUntil,
    });

  test("is answered when it is accepted, or created, and a repeat by what it waits for itself", async () => {
    runc.hold("create");
    const accepted = await call(WaitUntil.ACCEPTED);
    expect(told(accepted.sandbox).state).toMatch(/PENDING|CREATING/);
    expect(accepted.sandbox?.status?.operation?.verb).toBe("create");
    await runc.held("create");
    const created = call(WaitUntil.CREATED);
    const running = call(WaitUntil.RUNNING);
    expect(idOf((await call(WaitUntil.ACCEPTED)).sandbox)).toBe(idOf(accepted.sandbox));
    node().fault("500 create/app-start app/before");
    runc.release();
    expect(told((await created).sandbox)).toEqual({ state: "CREATING", containers: { app: "CREATED" } });
    expect(told((await running).sandbox)).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
    node().fault();
    expect((await get(idOf(accepted.sandbox))).status?.operation).toBeUndefined();
  });

  test("stays FAILED when it fails, and holds its name until it is deleted, or is started when what it lacked is there", async () => {
    const image = join(node().dir, "later");
    const { sandbox } = await call(WaitUntil.ACCEPTED, `oci:${image}`);
    const id = idOf(sandbox);
    const failed = await node().until(id, hasEnded);
    expect(failed.status).toMatchObject({ reason: "ImageNotFound", message: expect.stringMatching(/^image app: image oci:/) as string });
    expect(idOf((await call(WaitUntil.RUNNING, `oci:${image}`)).sandbox)).toBe(id);
    expect(await refusalFrom(call(WaitUntil.RUNNING))).toMatchObject({ code: "ALREADY_EXISTS" });
    expect(await refusalFrom(node().sandboxes.start({ id }))).toMatchObject({ code: "NOT_FOUND", reason: "ImageNotFound", stage: "image" });
    expect(told(await get(id)).state).toBe("FAILED");
    busyboxImage(image);
    expect(told((await node().sandboxes.start({ id })).sandbox)).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
  });

  test("is undone when it fails before, though another caller had waited for less", async () => {
    runc.fail("create");
    const refusals = await Promise.all([refusalFrom(call(WaitUntil.CREATED)), refusalFrom(call(WaitUntil.RUNNING))]);
    for (const refusal of refusals) expect(refusal).toMatchObject({ reason: "RuntimeFailed", stage: expect.any(String) as string });
    runc.mend();
    expect((await node().sandboxes.list({})).sandboxes).toEqual([]);
  });
});

test("a start goes by the images that the sandbox was created from, whatever the layout holds by then", async () => {
  const layout = join(node().dir, "moving");
  const image = busyboxImage(layout, { config: { Cmd: ["/bin/sh", "-c", "echo first $WHICH"], Env: ["WHICH=image"] } });
  const id = idOf(await create(node(), "pinned", "runc", [{ name: "app", image }]));
  await node().until(id, hasEnded);
  renameSync(layout, `${layout}-gone`);
  await node().sandboxes.start({ id });
  await node().until(id, hasEnded);
  busyboxImage(layout, { config: { Cmd: ["/bin/sh", "-c", "echo second"] } });
  await node().sandboxes.start({ id });
  await node().until(id, hasEnded);
  expect(await node().output(id, "app")).toBe("first image\nfirst image\nfirst image\n");
});

test("a start with the request id of the last one starts nothing; another one does", async () => {
  const id = idOf(await create(node(), "once", "crun", [shell(node(), "app", COUNTS_STARTS)]));
  await node().sandboxes.stop({ id, gracePeriod: seconds(0) });
  await node().sandboxes.start({ id, requestId: "s-1" });
  await node().sandboxes.stop({ id, gracePeriod: seconds(0) });
  expect(told((await node().sandboxes.start({ id, requestId: "s-1" })).sandbox).state).toBe("STOPPED");
  expect(told((await node().sandboxes.start({ id, requestId: "s-2" })).sandbox).state).toBe("RUNNING");
});

test("equal calls join one operation; a different one is told what runs; a state that a verb cannot begin from is named", async () => {
  const id = idOf(await create(node(), "busy", runc.className, app()));
  await untilWritten(node(), id, "app", "ready");
  const states = async (calls: Promise<{ sandbox?: Sandbox | undefined }>[]) =>
    (await Promise.all(calls)).map(({ sandbox }) => told(sandbox).state);
  const twenty = <T>(call: () => Promise<T>): Promise<T>[] => Array.from({ length: 20 }, call);
  expect(new Set(await states(twenty(() => node().sandboxes.pause({ id }))))).toEqual(new Set(["PAUSED"]));
  expect(await refusalFrom(node().sandboxes.start({ id }))).toMatchObject({
    code: "FAILED_PRECONDITION",
    reason: "WrongState",
    message: "sandbox default/busy is PAUSED: start needs one that is STOPPED or COMPLETED or FAILED",
  });
  expect(new Set(await states(twenty(() => node().sandboxes.resume({ id }))))).toEqual(new Set(["RUNNING"]));
  await node().sandboxes.stop({ id });
  for (const call of [node().sandboxes.pause({ id }), node().sandboxes.resume({ id })])
    expect(await refusalFrom(call)).toMatchObject({ code: "FAILED_PRECONDITION", reason: "WrongState" });
  runc.hold("create");
  const starts = twenty(() => node().sandboxes.start({ id }));
  await runc.held("create");
  for (const call of [node().sandboxes.stop({ id }), node().sandboxes.pause({ id }), node().sandboxes.resume({ id })])
    expect(await refusalFrom(call)).toMatchObject({ code: "ABORTED", message: "sandbox default/busy is busy: start runs on it" });
  runc.release();
  expect(new Set(await states(starts))).toEqual(new Set(["RUNNING"]));
  expect((await get(id)).metadata?.generation).toBe(2n);
});

test("a delete cancels a start", async () => {
  const id = idOf(await create(node(), "cancelled", runc.className, app()));
  await node().sandboxes.stop({ id, gracePeriod: seconds(0) });
  runc.hold("create");
  const starting = refusalFrom(node().sandboxes.start({ id }));
  await runc.held("create");
  const deletion = node().sandboxes.delete({ id });
  await node().sandboxes.list({});
  runc.release();
  expect(await starting).toMatchObject({ code: "ABORTED", reason: "Cancelled" });
  expect(await deletion).toMatchObject({ existed: true });
  expect(node().leftovers()).toEqual([]);
});

test("96 callers at once get one sandbox and 96 equal answers", async () => {
  const answers = await Promise.all(Array.from({ length: 96 }, () => create(node(), "crowded", "crun", app())));
  expect(new Set(answers.map((sandbox) => JSON.stringify([idOf(sandbox), told(sandbox)]))).size).toBe(1);
  expect((await node().sandboxes.list({})).sandboxes).toHaveLength(1);
});

test("a runtime that hangs is ended: a create is undone, a start is FAILED with its stage; start and delete lead out", async () => {
  const ids = [];
  for (const runtime of [runc, runsc]) {
    ids.push(idOf(await create(node(), `hung-${runtime.className}`, runtime.className, app())));
    await node().sandboxes.stop({ id: ids.at(-1) ?? "", gracePeriod: seconds(0) });
    runtime.hold("start");
  }
  const [creation, ...starts] = await Promise.all([
    refusalFrom(create(node(), "hung", runc.className, app())),
    ...ids.map((id) => refusalFrom(node().sandboxes.start({ id }))),
  ]);
  for (const refusal of [creation, ...starts])
    expect(refusal).toMatchObject({ reason: "RuntimeTimeout", stage: "pause-start", retryable: true });
  const { sandboxes } = await node().sandboxes.list({});
  expect(sandboxes.map(({ metadata }) => metadata?.name)).toEqual([`hung-${runc.className}`, `hung-${runsc.className}`]);
  for (const { status } of sandboxes) {
    expect(status).toMatchObject({ reason: "RuntimeTimeout", message: expect.stringMatching(/^pause-start: /) as string });
    expect(status?.operation).toBeUndefined();
  }
  // No process of theirs is left, the hung command included.
  expect(
    node()
      .leftovers()
      .filter((line) => !line.startsWith("file state/")),
  ).toEqual([]);
  for (const runtime of [runc, runsc]) runtime.release();
  expect(told((await node().sandboxes.start({ id: ids[0] ?? "" })).sandbox)).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
});
