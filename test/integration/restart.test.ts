import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../src/gen/berth/v1/sandbox_pb.js";
import { killProcess, processIdentity } from "../../src/host/processes.ts";
import { CLASSES, type TestNode } from "./node.ts";
import {
  create,
  deleteAll,
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

const BERTHD = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** Ends when it is told to, by a signal. */
const endsWhenTold = (code: number): string => `trap 'echo bye; exit ${code}' USR1; while :; do sleep 0.02; done`;
const THIRTY_ONE = Array.from({ length: 31 }, (_, index) => `line ${index + 1}\n`).join("");
const counts = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done";

/** Container of a sandbox by its name. */
function containerId(sandbox: Sandbox, name: string): string {
  const found = [...(sandbox.status?.containers ?? []), sandbox.status?.pause].find((container) => container?.name === name);
  if (!found) throw new Error(`there is no container ${name}`);
  return found.id;
}

/** Sends the word to end through the runtime itself: berthd need not run. */
function letEnd(node: TestNode, sandbox: Sandbox, name: string): void {
  const folder = join(node.state, "runtimes", sandbox.status?.runtime?.binaryDigest.replace("sha256:", "") ?? "");
  const binary = join(folder, readdirSync(folder)[0] ?? "");
  execFileSync(binary, ["--root", join(node.run, "s", idOf(sandbox), "r"), "kill", containerId(sandbox, name), "USR1"]);
}

/** Waits for a container's last word in the monitor's log: berthd need not run. Then it ends within a moment. */
async function untilSaidBye(node: TestNode, sandbox: Sandbox, name: string): Promise<void> {
  await waitFor("the last word", () => readFileSync(join(node.state, "logs", idOf(sandbox), `${name}.log`), "utf8").includes("bye\n"));
  await sleep(200);
}

async function get(node: TestNode, id: string): Promise<Sandbox> {
  const { sandbox } = await node.sandboxes.get({ target: { case: "id", value: id } });
  if (!sandbox) throw new Error("berthd answered no sandbox");
  return sandbox;
}

/** Lines 0, 1, 2 … without a gap and without a repeat. */
function expectConsecutive(output: string): void {
  const lines = output.trimEnd().split("\n");
  expect(lines).toEqual(lines.map((_, index) => String(index)));
}

describe.each(["SIGKILL", "SIGTERM"] as const)("over a restart after %s", (signal) => {
  const node = sharedNode({}, "once");
  const before = new Map<string, { several: Sandbox; ends: Sandbox; goesOn: Sandbox; linesBefore: number }>();

  beforeAll(async () => {
    const on = node();
    for (const { name } of CLASSES) {
      const [several, ends, goesOn] = await Promise.all([
        create(on, `several-${name}`, name, [
          shell(on, "talks", `i=0; while [ $i -lt 31 ]; do i=$((i+1)); echo line $i; done; ${endsWhenTold(23)}`),
          shell(on, "early", "echo early; exit 7"),
          shell(on, "on", `trap 'exit 9' TERM; ${counts}`),
        ]),
        create(on, `ends-${name}`, name, [shell(on, "app", endsWhenTold(23))]),
        create(on, `goes-on-${name}`, name, [shell(on, "app", endsWhenTold(0))]),
      ]);
      await untilWritten(on, idOf(several), "talks", "line 31\n");
      await on.until(idOf(several), (sandbox) => told(sandbox).containers["early"] === "EXITED 7");
      await untilWritten(on, idOf(several), "on", "3\n");
      before.set(name, { several: await get(on, idOf(several)), ends, goesOn, linesBefore: (await on.output(idOf(several), "on")).length });
    }
    await on.endDaemon(signal);
    for (const { several, ends } of before.values()) {
      letEnd(on, several, "talks");
      letEnd(on, ends, "app");
    }
    for (const { several, ends } of before.values()) await Promise.all([untilSaidBye(on, several, "talks"), untilSaidBye(on, ends, "app")]);
    await on.startDaemon();
  });

  const saved = (name: string) => {
    const found = before.get(name);
    if (!found) throw new Error(`nothing was created under ${name}`);
    return found;
  };

  test.each(CLASSES)("$name: what ended meanwhile has its code and every line once", async ({ name }) => {
    const { ends } = saved(name);
    const completed = await node().until(idOf(ends), hasEnded);
    expect(told(completed)).toEqual({ state: "COMPLETED", containers: { app: "EXITED 23" } });
    expect({ ...completed.metadata, resourceVersion: "" }).toEqual({ ...ends.metadata, resourceVersion: "" });
    expect(completed.spec).toEqual(ends.spec);
    expect(completed.status?.runtime).toEqual(ends.status?.runtime);
    expect(await node().output(idOf(ends), "app")).toBe("bye\n");
  });

  test.each(CLASSES)("$name: of several apps one ended before, one meanwhile, and one goes on and can be stopped", async ({ name }) => {
    const { several, linesBefore } = saved(name);
    const id = idOf(several);
    const running = await node().until(id, (sandbox) => told(sandbox).containers["talks"] !== "RUNNING");
    expect(told(running)).toEqual({ state: "RUNNING", containers: { talks: "EXITED 23", early: "EXITED 7", on: "RUNNING" } });
    expect(running.status?.containers[1]).toEqual(several.status?.containers[1]);
    expect(await node().output(id, "talks")).toBe(`${THIRTY_ONE}bye\n`);
    expect(await node().output(id, "early")).toBe("early\n");
    const sinceRestart = (await node().output(id, "on")).length;
    expect(sinceRestart).toBeGreaterThan(linesBefore);
    await waitFor("more output", async () => (await node().output(id, "on")).length > sinceRestart);
    const { sandbox } = await node().sandboxes.stop({ id, gracePeriod: seconds(20) });
    expect(told(sandbox)).toEqual({ state: "STOPPED", containers: { talks: "EXITED 23", early: "EXITED 7", on: "EXITED 9" } });
    expectConsecutive(await node().output(id, "on"));
  });

  test.each(CLASSES)("$name: what goes on ends by itself, with its code, and its name is taken all the time", async ({ name }) => {
    const { goesOn } = saved(name);
    expect(told(await get(node(), idOf(goesOn)))).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
    const joined = await create(node(), `goes-on-${name}`, name, [shell(node(), "app", endsWhenTold(0))]);
    expect(idOf(joined)).toBe(idOf(goesOn));
    expect(await refusalFrom(create(node(), `goes-on-${name}`, name, [shell(node(), "app", "other")]))).toMatchObject({
      code: "ALREADY_EXISTS",
    });
    letEnd(node(), goesOn, "app");
    expect(told(await node().until(idOf(goesOn), hasEnded))).toEqual({ state: "COMPLETED", containers: { app: "EXITED 0" } });
    expect(await node().output(idOf(goesOn), "app")).toBe("bye\n");
  });

  test("all of them can be deleted, and nothing is left", async () => {
    expect((await node().sandboxes.list({})).sandboxes).toHaveLength(3 * CLASSES.length);
    await deleteAll(node());
    expect(node().leftovers()).toEqual([]);
  });
});

describe("berthd killed in the middle", () => {
  const node = sharedNode();
  const app = () => [shell(node(), "app", "echo ready; exec sleep 1000")];

  // From before anything is done until after the answer, under every class at once.
  test("of a create: the sandbox is there whole, or it is gone with nothing left and its name is free", async () => {
    const outcomes = new Map<number | string, number>();
    for (const delay of [0, 20, 45, 75, 110, 160, 220, 300, 400, 600, "answered"] as const) {
      const calls = CLASSES.map(({ name }) => create(node(), `cut-${name}`, name, app()).catch(() => undefined));
      await (delay === "answered" ? Promise.all(calls) : sleep(delay));
      await node().endDaemon("SIGKILL");
      await Promise.all(calls);
      await node().startDaemon();
      const { sandboxes } = await node().sandboxes.list({});
      for (const sandbox of sandboxes) {
        expect(told(sandbox), `killed after ${delay}`).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
        await untilWritten(node(), idOf(sandbox), "app", "ready\n");
      }
      outcomes.set(delay, sandboxes.length);
      // The next round creates the same names.
      await deleteAll(node());
      expect(node().leftovers(), `killed after ${delay}`).toEqual([]);
    }
    expect(outcomes.get(0)).toBe(0);
    expect(outcomes.get("answered")).toBe(CLASSES.length);
    const again = await Promise.all(CLASSES.map(({ name }) => create(node(), `cut-${name}`, name, app())));
    expect(again.map((sandbox) => told(sandbox).state)).toEqual(CLASSES.map(() => "RUNNING"));
  });

  const slowToEnd = () => [shell(node(), "app", "trap 'sleep 1; echo bye; exit 3' TERM; echo ready; while :; do sleep 0.02; done")];

  async function createAll(): Promise<Sandbox[]> {
    const all = await Promise.all(CLASSES.map(({ name }) => create(node(), `ending-${name}`, name, slowToEnd())));
    for (const sandbox of all) await untilWritten(node(), idOf(sandbox), "app", "ready");
    return all;
  }

  test("of a stop: it is finished after the restart, with the apps' codes", async () => {
    const all = await createAll();
    const stops = all.map((sandbox) =>
      node()
        .sandboxes.stop({ id: idOf(sandbox), gracePeriod: seconds(3600) })
        .catch(() => undefined),
    );
    for (const sandbox of all) await node().until(idOf(sandbox), (now) => told(now).state === "STOPPING");
    await node().endDaemon("SIGKILL");
    await Promise.all(stops);
    await node().startDaemon();
    for (const sandbox of all) {
      expect(told(await node().until(idOf(sandbox), hasEnded))).toEqual({ state: "STOPPED", containers: { app: "EXITED 3" } });
      expect(await node().output(idOf(sandbox), "app")).toBe("ready\nbye\n");
    }
  });

  test("of a delete: they are gone after the restart, with nothing left", async () => {
    const all = await createAll();
    const deletions = all.map((sandbox) =>
      node()
        .sandboxes.delete({ id: idOf(sandbox), gracePeriod: seconds(4) })
        .catch(() => undefined),
    );
    for (const sandbox of all) await node().until(idOf(sandbox), (now) => told(now).state === "DELETING");
    await node().endDaemon("SIGKILL");
    await Promise.all(deletions);
    await node().startDaemon();
    // With what is left of the grace, and without holding up the start.
    const deadline = Date.now() + 20_000;
    while ((await node().sandboxes.list({})).sandboxes.length > 0 && Date.now() < deadline) await sleep(50);
    expect((await node().sandboxes.list({})).sandboxes.map(told)).toEqual([]);
    expect(node().leftovers()).toEqual([]);
  });

  test("a stop that runs when berthd is asked to end comes to its end, with the apps' codes", async () => {
    const all = await createAll();
    const stops = all.map((sandbox) => node().sandboxes.stop({ id: idOf(sandbox), gracePeriod: seconds(20) }));
    for (const sandbox of all) await node().until(idOf(sandbox), (now) => told(now).state === "STOPPING");
    await node().endDaemon("SIGTERM");
    const answers = await Promise.all(stops);
    const stopped = all.map(() => ({ state: "STOPPED", containers: { app: "EXITED 3" } }));
    expect(answers.map(({ sandbox }) => told(sandbox))).toEqual(stopped);
    await node().startDaemon();
    expect(await Promise.all(all.map(async (sandbox) => told(await get(node(), idOf(sandbox)))))).toEqual(stopped);
  });

  test("a second berthd on the same state, or on the same sockets, is refused; the first one goes on", async () => {
    const sandbox = await create(node(), "kept", "runc", app());
    const elsewhere = mkdtempSync("/tmp/bt-");
    try {
      const start = async (state: string, run: string): Promise<{ code: number | null; said: string }> => {
        const flags = ["--config", join(node().dir, "berth.yaml"), "--state-dir", state, "--run-dir", run];
        const second = spawn(process.execPath, [BERTHD, ...flags], { stdio: ["ignore", "ignore", "pipe"] });
        const closed = new Promise<number | null>((resolve) => second.once("close", resolve));
        const [code, said] = await Promise.all([closed, text(second.stderr)]);
        return { code, said: said.trimEnd().split("\n").at(-1) ?? "" };
      };
      const journal = join(node().state, "journal.db");
      expect(await start(node().state, join(elsewhere, "r"))).toEqual({ code: 1, said: `berthd: ${journal} is in use by another berthd` });
      const socket = join(node().run, "berthd.sock");
      expect(await start(join(elsewhere, "s"), node().run)).toEqual({
        code: 1,
        said: `berthd: another process answers on ${socket}; is berthd running?`,
      });
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
    expect(told(await get(node(), idOf(sandbox)))).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
  });

  describe.each(CLASSES)("under $name", ({ name: runtimeClass, adapter }) => {
    test("of a sandbox whose pause is killed: it fails with a reason, no code is made up, and it can be deleted", async () => {
      const sandbox = await create(node(), "headless", runtimeClass, [
        shell(node(), "one", "echo ready; exec sleep 1000"),
        shell(node(), "two", "echo ready; exec sleep 1000"),
        shell(node(), "ended", "exit 5"),
      ]);
      const id = idOf(sandbox);
      for (const name of ["one", "two"]) await untilWritten(node(), id, name, "ready");
      await node().until(id, (now) => told(now).containers["ended"] === "EXITED 5");
      kill(pidOf(node(), id, id, "pid"));
      const failed = await node().until(id, hasEnded);
      expect(told(failed).state).toBe("FAILED");
      expect(["SandboxDied", "ExitCodeLost"]).toContain(failed.status?.reason);
      expect(failed.status?.message).not.toBe("");
      const { one, two, ended } = told(failed).containers;
      // They were killed: with their kernel, or by berthd afterwards.
      for (const code of [one, two]) expect(["UNKNOWN unknown", "EXITED 137"]).toContain(code);
      expect(ended).toBe("EXITED 5");
      expect(await node().output(id, "one")).toBe("ready\n");
      expect(await refusalFrom(create(node(), "headless", runtimeClass, app()))).toMatchObject({ code: "ALREADY_EXISTS" });
      expect(await node().sandboxes.delete({ id })).toMatchObject({ existed: true });
      expect(node().leftovers()).toEqual([]);
    });

    test("of an app whose monitor is killed: its code is what the runtime knows, else unknown, and it can be deleted", async () => {
      const sandbox = await create(node(), "unwatched", runtimeClass, [shell(node(), "app", `echo ready; sleep 0.5; exit 6`)]);
      const id = idOf(sandbox);
      await untilWritten(node(), id, "app", "ready");
      kill(pidOf(node(), id, containerId(sandbox, "app"), "conmon.pid"));
      const ended = await node().until(id, hasEnded);
      if (adapter === "runsc") {
        expect(told(ended)).toEqual({ state: "COMPLETED", containers: { app: "EXITED 6" } });
      } else {
        expect(told(ended)).toEqual({ state: "FAILED", containers: { app: "UNKNOWN unknown" } });
        expect(ended.status?.reason).toBe("ExitCodeLost");
        expect(ended.status?.containers[0]?.exitCode).toBeUndefined();
        const { stdout } = await node().berth("inspect", "unwatched");
        expect(stdout).toMatch(/^app +UNKNOWN +unknown +0 +ExitCodeLost /m);
        const json = JSON.parse((await node().berth("inspect", id, "-o", "json")).stdout) as { status: { containers: object[] } };
        expect(json.status.containers[0]).not.toHaveProperty("exitCode");
      }
      expect(await node().output(id, "app")).toBe("ready\n");
      expect(await node().sandboxes.delete({ id })).toMatchObject({ existed: true });
      expect(node().leftovers()).toEqual([]);
    });
  });
});

/** kill -9, of a process that must be there. */
function kill(pid: number): void {
  const identity = processIdentity(pid);
  if (!identity || !killProcess(identity, "SIGKILL")) throw new Error(`there is no process ${pid}`);
}

describe("berthd killed while the runtime is in the middle of a command", () => {
  const scripts = mkdtempSync("/tmp/berth-faulty-");
  const faulty = CLASSES.filter(({ name }) => name === "runsc" || name === "runc").map((entry) => faultyRuntime(scripts, entry));
  const node = sharedNode({ runtimeClasses: faulty.map(({ runtimeClass }) => runtimeClass) });
  afterAll(() => rmSync(scripts, { recursive: true, force: true }));

  test.each(faulty.flatMap((runtime) => ["create", "start"].map((verb) => ({ runtime, verb, name: runtime.className }))))(
    "$name $verb: the command goes with the sandbox, and the name is free",
    async ({ runtime, verb }) => {
      const app = () => [shell(node(), "app", "echo ready; exec sleep 1000")];
      runtime.hold(verb);
      const call = create(node(), "held", runtime.className, app()).catch(() => undefined);
      await runtime.held(verb);
      await node().endDaemon("SIGKILL");
      await call;
      await node().startDaemon();
      expect((await node().sandboxes.list({})).sandboxes).toEqual([]);
      expect(node().leftovers()).toEqual([]);
      runtime.release();
      // Whatever had survived would go on now.
      await sleep(500);
      expect(node().leftovers()).toEqual([]);
      expect(told(await create(node(), "held", runtime.className, app()))).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
    },
  );

  test.each(faulty.map((runtime) => ({ runtime, name: runtime.className })))(
    "$name, tried out at the start: what is left of the trial goes at the next start",
    async ({ runtime }) => {
      await node().endDaemon("SIGKILL");
      expect(node().leftovers()).toEqual([]);
      runtime.hold("run");
      const flags = ["--config", join(node().dir, "berth.yaml"), "--state-dir", node().state, "--run-dir", node().run];
      const starting = spawn(process.execPath, [BERTHD, ...flags], { stdio: "ignore" });
      const ended = new Promise((resolve) => starting.once("exit", resolve));
      await runtime.held("run");
      starting.kill("SIGKILL");
      await ended;
      const left = node().leftovers().join("\n");
      expect(left).toMatch(/^cgroup .*\/probe-/m);
      expect(left).toMatch(/^file run\/probes\//m);
      runtime.release();
      await node().startDaemon();
      expect(node().leftovers()).toEqual([]);
    },
  );
});
