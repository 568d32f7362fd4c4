/** What befalls a sandbox and the node from outside: processes killed, disks full, files broken, commands that hang, many sandboxes. */

import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { listMounts, unmount } from "../../src/host/mounts.ts";
import { mount } from "../../src/host/libc.ts";
import { killProcess, processesNaming, processIdentity } from "../../src/host/processes.ts";
import {
  create,
  deleteAll,
  type FaultyRuntime,
  faultyRuntime,
  hasEnded,
  idOf,
  pidOf,
  refusalFrom,
  seconds,
  sharedNode,
  shell,
  told,
  untilWritten,
  waitFor,
} from "./life-support/support.ts";
import { CLASSES, TestNode } from "./node.ts";

const POLITE = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.02; done";

/** kill -9, of a process that must be there. */
function kill(pid: number): void {
  const identity = processIdentity(pid);
  if (!identity || !killProcess(identity, "SIGKILL")) throw new Error(`there is no process ${pid}`);
}

describe.each(CLASSES)("under $name", ({ name: runtimeClass, adapter }) => {
  const node = sharedNode();

  async function running(): Promise<string> {
    const id = idOf(await create(node(), "one", runtimeClass, [shell(node(), "app", POLITE)]));
    await untilWritten(node(), id, "app", "ready\n");
    return id;
  }

  test("the monitor of pause is killed: the sandbox has an honest state, and goes with nothing left", async () => {
    const id = await running();
    kill(pidOf(node(), id, id, "conmon.pid"));
    const { sandbox } = await node().sandboxes.stop({ id, gracePeriod: seconds(20) });
    // The end of pause is nobody's result: it is told by the state alone whether the apps were still there.
    expect(told(sandbox).state).toMatch(/^(STOPPED|FAILED)$/);
    expect(told(sandbox).containers["app"]).toMatch(/^(EXITED (3|137)|UNKNOWN unknown)$/);
    expect(await node().output(id, "app")).toMatch(/^ready\n(bye\n)?$/);
    expect(await node().sandboxes.delete({ id })).toMatchObject({ existed: true });
    expect(node().leftovers()).toEqual([]);
  });

  test.runIf(adapter === "runsc")(
    "a gofer is killed: the app ends or goes on, its code is never made up, and it goes with nothing left",
    async () => {
      const id = await running();
      const gofers = processesNaming(["gofer", `${node().run}/s/${id}/`]);
      expect(gofers.length).toBeGreaterThan(0);
      for (const gofer of gofers) killProcess(gofer, "SIGKILL");
      const { sandbox } = await node().sandboxes.stop({ id, gracePeriod: seconds(5) });
      expect(told(sandbox).state).toMatch(/^(STOPPED|FAILED)$/);
      expect(told(sandbox).containers["app"]).toMatch(/^(EXITED \d+|UNKNOWN unknown)$/);
      expect(await node().output(id, "app")).toMatch(/^ready\n/);
      expect(await node().sandboxes.delete({ id })).toMatchObject({ existed: true });
      expect(node().leftovers()).toEqual([]);
    },
  );

  test("its config.json files are cut short: what runs is not touched by it, a start writes them anew, a delete needs none", async () => {
    const id = await running();
    const cut = (): void => {
      for (const name of ["pause", "app"]) truncateSync(join(node().state, "bundles", id, name, "config.json"), 20);
    };
    cut();
    await node().endDaemon("SIGKILL");
    await node().startDaemon();
    expect(told((await node().sandboxes.stop({ id, gracePeriod: seconds(20) })).sandbox)).toEqual({
      state: "STOPPED",
      containers: { app: "EXITED 3" },
    });
    cut();
    expect(told((await node().sandboxes.start({ id })).sandbox).state).toBe("RUNNING");
    await untilWritten(node(), id, "app", "ready\nbye\nready\n");
    cut();
    expect(await node().sandboxes.delete({ id, gracePeriod: seconds(20) })).toMatchObject({ existed: true });
    expect(node().leftovers()).toEqual([]);
  });
});

describe.each(["state", "run"] as const)("a %s folder on a disk that is full", (folder) => {
  test("refuses what it has no room for, keeps what runs and how it ended, and works again when there is room", async () => {
    await using node = await TestNode.start();
    await node.endDaemon("SIGTERM");
    const dir = node[folder];
    rmSync(dir, { recursive: true, force: true });
    mkdirSync(dir, { mode: folder === "run" ? 0o711 : 0o700 });
    mount("tmpfs", dir, "tmpfs", 0, "size=64m");
    await node.startDaemon();
    const ownMount = listMounts(dir);
    const left = (): string[] => node.leftovers().filter((line) => !ownMount.includes(line.replace(/^mount /, "")));

    const going = idOf(await create(node, "going", "runc", [shell(node, "app", POLITE)]));
    const ending = idOf(await create(node, "ending", "runc", [shell(node, "app", "echo ready; sleep 1; exit 6")]));
    await untilWritten(node, going, "app", "ready\n");
    fill(join(dir, "filler"));
    for (const runtimeClass of CLASSES.map(({ name }) => name)) {
      const refusal = await refusalFrom(create(node, "refused", runtimeClass, [shell(node, "app", "true")]));
      expect(`${refusal.reason}: ${refusal.message}`).toMatch(/StorageFull|no space left/i);
    }
    expect(told((await node.sandboxes.get({ target: { case: "id", value: going } })).sandbox).state).toBe("RUNNING");
    rmSync(join(dir, "filler"));

    expect(told(await node.until(ending, hasEnded))).toEqual({ state: "COMPLETED", containers: { app: "EXITED 6" } });
    expect(told((await node.sandboxes.stop({ id: going, gracePeriod: seconds(20) })).sandbox)).toEqual({
      state: "STOPPED",
      containers: { app: "EXITED 3" },
    });
    expect(told(await create(node, "refused", "runc", [shell(node, "app", POLITE)])).state).toBe("RUNNING");
    await deleteAll(node);
    expect(left()).toEqual([]);
    await node.endDaemon("SIGTERM");
    for (const point of ownMount) unmount(point);
  });
});

/** Takes all the room that a file system has left. */
function fill(file: string): void {
  const chunk = Buffer.alloc(65_536);
  for (const size of [65_536, 4096, 1]) {
    try {
      for (;;) writeFileSync(file, chunk.subarray(0, size), { flag: "a" });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    }
  }
}

describe("a runtime that hangs when a sandbox ends", () => {
  const scripts = mkdtempSync("/tmp/berth-faulty-");
  const faulty = CLASSES.filter(({ name }) => name === "runsc" || name === "runc").map((entry) => faultyRuntime(scripts, entry));
  const node = sharedNode({ runtimeClasses: faulty.map(({ runtimeClass }) => runtimeClass) });
  afterAll(() => rmSync(scripts, { recursive: true, force: true }));

  async function stopped(runtime: FaultyRuntime): Promise<string> {
    const id = idOf(await create(node(), runtime.className, runtime.className, [shell(node(), "app", POLITE)]));
    await untilWritten(node(), id, "app", "ready\n");
    runtime.hold("kill");
    const { sandbox } = await node().sandboxes.stop({ id, gracePeriod: seconds(0) });
    // A gVisor that was killed tells no code any more, and none is made up.
    const code = runtime.className === "faulty-runsc" ? "UNKNOWN unknown" : "EXITED 137";
    expect(told(sandbox)).toEqual({ state: "STOPPED", containers: { app: code } });
    return id;
  }

  // Each waits for the deadline of a command, so they run side by side.
  test("is ended; the sandbox is ended by pid, and can be deleted and started", async () => {
    try {
      const [first] = await Promise.all(faulty.map(stopped));
      expect(processesNaming([`${scripts}/`])).toEqual([]);
      for (const runtime of faulty) runtime.release();
      expect(told((await node().sandboxes.start({ id: first ?? "" })).sandbox).state).toBe("RUNNING");
    } finally {
      for (const runtime of faulty) runtime.release();
    }
    await deleteAll(node());
    expect(node().leftovers()).toEqual([]);
  });
});

describe.runIf(process.env["BERTH_TEST_FAULTS"] === "all")("a hundred sandboxes", () => {
  const node = sharedNode();

  test("live over a restart of berthd, and each ends with its code", async () => {
    const ids: string[] = [];
    for (let count = 0; count < 100; count += 10) {
      const names = Array.from({ length: 10 }, (_, index) => `many-${count + index}`);
      const made = await Promise.all(names.map((name) => create(node(), name, "crun", [shell(node(), "app", POLITE)])));
      ids.push(...made.map(idOf));
    }
    for (const id of ids) await untilWritten(node(), id, "app", "ready\n");
    await node().endDaemon("SIGKILL");
    await node().startDaemon();
    const { sandboxes } = await node().sandboxes.list({ pageSize: 1000 });
    expect(sandboxes.map((sandbox) => told(sandbox).state)).toEqual(ids.map(() => "RUNNING"));
    for (const id of ids.slice(0, 10)) {
      const { sandbox } = await node().sandboxes.stop({ id, gracePeriod: seconds(20) });
      expect(told(sandbox)).toEqual({ state: "STOPPED", containers: { app: "EXITED 3" } });
    }
    await deleteAll(node());
    await waitFor("the end of all", async () => (await node().sandboxes.list({})).sandboxes.length === 0);
    expect(node().leftovers()).toEqual([]);
  }, 600_000);
});
