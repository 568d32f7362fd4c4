import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { ContainerState, RestartPolicy, type Sandbox } from "../../src/gen/berth/v1/sandbox_pb.js";
import { CLASSES } from "./node.ts";
import { type ContainerInit, hasEnded, idOf, seconds, sharedNode, shell, told, untilWritten, waitFor } from "./life-support/support.ts";

const node = sharedNode();

async function create(name: string, runtimeClassName: string, restartPolicy: RestartPolicy, containers: ContainerInit[]): Promise<string> {
  const { sandbox } = await node().sandboxes.create({ metadata: { name }, spec: { runtimeClassName, restartPolicy, containers } });
  return idOf(sandbox);
}

/** Says how often it was started, by a file in its root, and ends with what the script does with that number. */
const countsStarts = (then: string): string => `echo x >>/starts; n=$(wc -l </starts); echo start $n; ${then}`;

async function get(id: string): Promise<Sandbox> {
  const { sandbox } = await node().sandboxes.get({ target: { case: "id", value: id } });
  if (!sandbox) throw new Error("berthd answered no sandbox");
  return sandbox;
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const app = (sandbox: Sandbox, name = "app") => sandbox.status?.containers.find((container) => container.name === name);
const restarts = (sandbox: Sandbox, name = "app"): number => app(sandbox, name)?.restartCount ?? -1;
const awaitsRestart = (sandbox: Sandbox): boolean => app(sandbox)?.reason === "CrashLoopBackOff";

describe.each(CLASSES)("under $name", ({ name: runtimeClass }) => {
  test("OnFailure runs a failed app again beside the others until it succeeds; then the sandbox completes", async () => {
    const neighbour = shell(node(), "neighbour", "trap 'exit 0' TERM; while [ ! -e /stop ]; do sleep 0.05; done");
    const id = await create("on-failure", runtimeClass, RestartPolicy.ON_FAILURE, [
      shell(node(), "app", countsStarts("[ $n -eq 2 ] || exit 5")),
      neighbour,
    ]);
    const done = await node().until(id, (sandbox) => app(sandbox)?.state === ContainerState.EXITED && restarts(sandbox) === 1);
    expect(told(done)).toEqual({ state: "RUNNING", containers: { app: "EXITED 0", neighbour: "RUNNING" } });
    expect(app(done)?.reason).toBe("Completed");
    expect(restarts(done, "neighbour")).toBe(0);
    expect(await node().output(id, "app")).toBe("start 1\nstart 2\n");
    expect(told((await node().sandboxes.stop({ id, gracePeriod: seconds(20) })).sandbox)).toEqual({
      state: "STOPPED",
      containers: { app: "EXITED 0", neighbour: "EXITED 0" },
    });
  });

  test("Always runs also what succeeded again, first at once and then after a pause that a stop ends", async () => {
    const id = await create("always", runtimeClass, RestartPolicy.ALWAYS, [shell(node(), "app", countsStarts("exit $((n - 1))"))]);
    const waiting = await node().until(id, awaitsRestart);
    expect(told(waiting)).toEqual({ state: "RUNNING", containers: { app: "WAITING" } });
    expect([restarts(waiting), app(waiting)?.exitCode]).toEqual([1, 1]);
    expect(told((await node().sandboxes.stop({ id })).sandbox)).toEqual({ state: "STOPPED", containers: { app: "EXITED 1" } });
    // A start is no restart: it begins to count anew.
    const { sandbox: started } = await node().sandboxes.start({ id });
    expect(started && restarts(started)).toBe(0);
    const again = await node().until(id, awaitsRestart);
    expect([restarts(again), app(again)?.exitCode]).toEqual([1, 3]);
    expect(await node().output(id, "app")).toBe("start 1\nstart 2\nstart 3\nstart 4\n");
  });

  test("berthd goes on with a restart that it was killed in, and with a wait", async () => {
    node().fault("kill restart/app-create app/after");
    const id = await create("crash", runtimeClass, RestartPolicy.ALWAYS, [
      shell(
        node(),
        "app",
        countsStarts("[ $n -eq 1 ] && sleep 2; [ $n -lt 3 ] && exit 4; trap 'exit 6' TERM; while :; do sleep 0.05; done"),
      ),
    ]);
    await waitFor("the fault to kill berthd", () => !isThere(node().pid));
    node().fault();
    await node().startDaemon();
    const { exitCode, finishedAt } = app(await node().until(id, awaitsRestart)) ?? {};
    expect(exitCode).toBe(4);
    await node().endDaemon("SIGKILL");
    await node().startDaemon();
    const running = await node().until(id, (sandbox) => app(sandbox)?.state === ContainerState.RUNNING);
    expect(restarts(running)).toBe(2);
    // The wait was not forgotten, and the restart not either.
    expect(Number(app(running)?.startedAt?.seconds) - Number(finishedAt?.seconds)).toBeGreaterThanOrEqual(9);
    await untilWritten(node(), id, "app", "start 3\n");
    expect(await node().output(id, "app")).toBe("start 1\nstart 2\nstart 3\n");
    expect(told((await node().sandboxes.stop({ id, gracePeriod: seconds(20) })).sandbox)).toEqual({
      state: "STOPPED",
      containers: { app: "EXITED 6" },
    });
  });
});

test("Never, which is the default, runs no app twice", async () => {
  const id = await create("never", "runc", RestartPolicy.UNSPECIFIED, [shell(node(), "app", countsStarts("exit 5"))]);
  expect(told(await node().until(id, hasEnded))).toEqual({ state: "COMPLETED", containers: { app: "EXITED 5" } });
  expect(await node().output(id, "app")).toBe("start 1\n");
});

test("a paused sandbox restarts nothing until it is resumed", async () => {
  const id = await create("paused", "runc", RestartPolicy.ALWAYS, [shell(node(), "app", countsStarts("exit 5"))]);
  const waiting = await node().until(id, awaitsRestart);
  const due = Number(app(waiting)?.finishedAt?.seconds) * 1000 + 11_000;
  await node().sandboxes.pause({ id });
  await sleep(due - Date.now());
  expect(told(await get(id))).toEqual({ state: "PAUSED", containers: { app: "WAITING" } });
  expect(await node().output(id, "app")).toBe("start 1\nstart 2\n");
  await node().sandboxes.resume({ id });
  await untilWritten(node(), id, "app", "start 3\n");
});

test("a restart that fails is tried again later, and the sandbox goes on", async () => {
  node().fault("fail restart/app-create app/after");
  const id = await create("fails", "runc", RestartPolicy.ALWAYS, [
    shell(node(), "app", countsStarts("exit 5")),
    shell(node(), "neighbour", "while :; do sleep 0.05; done"),
  ]);
  const waiting = await node().until(id, awaitsRestart);
  node().fault();
  expect(told(waiting)).toEqual({ state: "RUNNING", containers: { app: "WAITING", neighbour: "RUNNING" } });
  expect(restarts(waiting)).toBe(0);
  expect(await node().output(id, "app")).toBe("start 1\n");
});
