/** berthd killed around steps of each operation: what its caller was promised holds after the restart, or it is undone. */

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, describe, expect, test } from "vitest";
import type { Sandbox } from "../../src/gen/berth/v1/sandbox_pb.js";
import { WaitUntil } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { Cgroups } from "../../src/host/cgroups.ts";
import { processIdentity } from "../../src/host/processes.ts";
import { deleteAll, idOf, pidOf, seconds, sharedNode, shell, told, untilWritten, waitFor } from "./life-support/support.ts";

const node = sharedNode();
afterEach(() => node().fault());

const POLITE = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done";
const spec = () => ({ runtimeClassName: "runc", containers: [shell(node(), "app", POLITE)] });

async function running(): Promise<string> {
  const { sandbox } = await node().sandboxes.create({ metadata: { name: "one" }, spec: spec() });
  await untilWritten(node(), idOf(sandbox), "app", "ready");
  return idOf(sandbox);
}

async function stopped(): Promise<string> {
  const id = await running();
  await node().sandboxes.stop({ id });
  return id;
}

async function paused(): Promise<string> {
  const id = await running();
  await node().sandboxes.pause({ id });
  return id;
}

const nothing = async (): Promise<string> => "";
type Call = (id: string) => Promise<unknown>;
const create =
  (waitUntil: WaitUntil): Call =>
  () =>
    node().sandboxes.create({ metadata: { name: "one" }, spec: spec(), waitUntil });
const start: Call = (id) => node().sandboxes.start({ id });
const stop: Call = (id) => node().sandboxes.stop({ id, gracePeriod: seconds(20) });
const pause: Call = (id) => node().sandboxes.pause({ id });
const resume: Call = (id) => node().sandboxes.resume({ id });
const remove: Call = (id) => node().sandboxes.delete({ id, gracePeriod: seconds(20) });

const waited = create(WaitUntil.RUNNING);
const accepted = create(WaitUntil.ACCEPTED);

/** What is there first, what is called, where berthd is killed, and what there is in the end: a state, or nothing. */
const CASES: readonly (readonly [from: () => Promise<string>, call: Call, point: string, end: string])[] = [
  [nothing, waited, "create/begin/before", "nothing"],
  [nothing, waited, "create/intend rootfs/after", "nothing"],
  [nothing, waited, "create/app-start app/after", "nothing"],
  [nothing, waited, "create/end/before", "nothing"],
  [nothing, waited, "create/end/after", "RUNNING"],
  [nothing, accepted, "create/image/before", "RUNNING"],
  [nothing, accepted, "create/app-create app/after", "RUNNING"],
  [nothing, accepted, "create/end/before", "FAILED Interrupted"],
  [stopped, start, "start/begin/before", "STOPPED"],
  [stopped, start, "start/runtime/before", "RUNNING"],
  [stopped, start, "start/bundles/after", "RUNNING"],
  [stopped, start, "start/app-start app/after", "FAILED Interrupted"],
  [stopped, start, "start/end/after", "RUNNING"],
  [running, stop, "stop/signal/after", "STOPPED"],
  [running, stop, "stop/take-down/before", "STOPPED"],
  [running, stop, "stop/end/before", "STOPPED"],
  [running, pause, "pause/freeze/after", "PAUSED"],
  [paused, resume, "resume/thaw/after", "RUNNING"],
  [paused, stop, "stop/thaw/before", "STOPPED"],
  [running, remove, "delete/signal/before", "nothing"],
  [running, remove, "delete/remove-files/before", "nothing"],
  [stopped, remove, "delete/end/before", "nothing"],
];

const shown = (sandbox: Sandbox | undefined): string => {
  if (!sandbox) return "nothing";
  const { state } = told(sandbox);
  return state === "FAILED" ? `FAILED ${sandbox.status?.reason}` : state;
};

test.each(CASES)("%o, %o: killed at %s, it ends as %s", async (from, call, point, end) => {
  const id = await from();
  node().fault(`kill ${point}`);
  // One that was answered before goes on, and is killed all the same.
  await call(id).catch(() => undefined);
  await node().died();
  node().fault();
  await node().startDaemon();
  const list = async () => (await node().sandboxes.list({})).sandboxes;
  await waitFor(`"${end}"`, async () => {
    const [sandbox] = await list();
    return shown(sandbox) === end && sandbox?.status?.operation === undefined;
  });
  const [sandbox] = await list();
  // Whatever it is, a caller can go on from it.
  if (end === "nothing") expect(node().leftovers()).toEqual([]);
  else if (end === "RUNNING" || end === "PAUSED") {
    expect(told((await node().sandboxes.stop({ id: idOf(sandbox) })).sandbox)).toEqual({
      state: "STOPPED",
      containers: { app: "EXITED 3" },
    });
  } else {
    if (end === "STOPPED") expect(told(sandbox).containers).toEqual({ app: "EXITED 3" });
    expect(told((await node().sandboxes.start({ id: idOf(sandbox) })).sandbox)).toEqual({
      state: "RUNNING",
      containers: { app: "RUNNING" },
    });
  }
});

test("an end that a sandbox came to by itself is finished after the restart", async () => {
  node().fault("kill complete/take-down/after");
  const containers = [shell(node(), "app", "sleep 0.5; exit 6")];
  const { sandbox } = await node().sandboxes.create({ metadata: { name: "one" }, spec: { runtimeClassName: "runc", containers } });
  await node().died();
  node().fault();
  await node().startDaemon();
  const completed = await node().until(idOf(sandbox), (now) => told(now).state === "COMPLETED");
  expect(told(completed).containers).toEqual({ app: "EXITED 6" });
});

test("a step that fails is undone: a create leaves nothing, a start FAILED with its stage, a pause a sandbox that runs", async () => {
  node().fault("fail create/app-start app/before", "fail start/rootfs/after", "fail pause/freeze/after", "trace");
  await expect(waited("")).rejects.toThrow("fault at create/app-start app/before");
  expect((await node().sandboxes.list({})).sandboxes).toEqual([]);
  expect(node().leftovers()).toEqual([]);
  expect(readFileSync(join(node().dir, "faults.trace"), "utf8")).toContain(
    "create/rootfs/before\ncreate/rootfs/after\ncreate/volumes/before\n",
  );

  node().fault("fail start/rootfs/after", "fail pause/freeze/after");
  const id = await running();
  await expect(pause(id)).rejects.toThrow("fault at pause/freeze/after");
  expect(told((await node().sandboxes.get({ target: { case: "id", value: id } })).sandbox).state).toBe("RUNNING");
  await stop(id);
  await expect(start(id)).rejects.toThrow("fault at start/rootfs/after");
  const { sandbox } = await node().sandboxes.get({ target: { case: "id", value: id } });
  expect(sandbox?.status).toMatchObject({ reason: "Internal", message: "rootfs: fault at start/rootfs/after" });
  expect(told(sandbox)).toEqual({ state: "FAILED", containers: { app: "WAITING" } });
  node().fault();
  expect(told((await node().sandboxes.start({ id })).sandbox).state).toBe("RUNNING");
});

describe("what the journal does not know", () => {
  const STRAY = "5".repeat(32);

  /** Ids and messages of what was told of recovery. */
  async function found(): Promise<(readonly [id: string, message: string])[]> {
    const { stdout } = await node().berth("events", "--since", "1h", "-o", "json");
    const events = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { kind: string; sandboxId: string; message: string });
    return events.filter(({ kind }) => kind === "recovery.found").map(({ sandboxId, message }) => [sandboxId, message]);
  }

  test("is ended and removed where this berthd made it, but for what was written", async () => {
    const id = await running();
    const pid = pidOf(node(), id, id, "pid");
    await node().endDaemon("SIGKILL");
    const journal = new DatabaseSync(join(node().state, "journal.db"));
    journal.exec("PRAGMA foreign_keys = ON; DELETE FROM sandboxes");
    journal.close();
    await node().startDaemon();
    expect((await node().sandboxes.list({})).sandboxes).toEqual([]);
    // One that nobody has reaped yet is gone too.
    expect(processIdentity(pid)).toBeUndefined();
    const left = node().leftovers();
    expect(left.filter((line) => !/^file state\/(bundles|containers|logs)\//.test(line))).toEqual([]);
    expect(left.length).toBeGreaterThan(0);
    expect(await found()).toContainEqual([id, "run-time files, namespaces, cgroup, bundles: removed, but for files under STATE"]);
    node().forget(left);
  });

  test("is left alone where another berthd may have made it", async () => {
    const cgroups = new Cgroups();
    cgroups.create(`${node().cgroupRoot}/${STRAY}`);
    mkdirSync(join(node().run, "s", STRAY), { recursive: true });
    await node().endDaemon("SIGKILL");
    await node().startDaemon();
    expect(node().leftovers()).toEqual([`cgroup ${node().cgroupRoot}/${STRAY}`, `file run/s/${STRAY}`]);
    expect(await found()).toContainEqual([STRAY, expect.stringMatching(/^run-time files, cgroup: left alone/)]);
    await cgroups.remove(`${node().cgroupRoot}/${STRAY}`);
    node().forget([`file run/s/${STRAY}`]);
  });
});

test("one bad sandbox holds up nobody: the others are taken up, and it can be deleted", async () => {
  const id = await running();
  const other = await node().sandboxes.create({ metadata: { name: "bad" }, spec: spec() });
  await node().endDaemon("SIGKILL");
  const journal = new DatabaseSync(join(node().state, "journal.db"));
  const row = journal.prepare("SELECT record FROM sandboxes WHERE name = 'bad'").get();
  const record = JSON.parse(String(row?.["record"])) as { runtime: { adapter: string } };
  delete (record as { runtime?: object }).runtime;
  journal.prepare("UPDATE sandboxes SET record = ? WHERE name = 'bad'").run(JSON.stringify(record));
  journal.close();
  await node().startDaemon();
  expect(told((await node().sandboxes.get({ target: { case: "id", value: id } })).sandbox).state).toBe("RUNNING");
  const bad = await node().sandboxes.get({ target: { case: "id", value: idOf(other.sandbox) } });
  expect(shown(bad.sandbox)).toBe("FAILED RecoveryFailed");
  await deleteAll(node());
  expect(node().leftovers()).toEqual([]);
});
