/** Ends the apps of a sandbox and takes it down, and writes into the record what became of each. */

import { BerthError } from "../errors.ts";
import { runtimeFor } from "../runtime/registry.ts";
import { thaw } from "./freezing.ts";
import { type Live, type Operation, unwatch } from "./operations.ts";
import { allContainers, type ContainerRecord, type SandboxRecord, type SandboxState } from "./record.ts";
import { type Rooms, runtimeContainer } from "./rooms.ts";
import { moveTo } from "./state.ts";
import { teardown } from "./teardown.ts";

/** After KILL, for the kernel and the runtime to say that it happened. */
const KILL_MS = 10_000;
const SIGKILL = 9;

/** What a record says from the moment on that its sandbox is being ended. A frozen one gets no signal. */
export function beginEnding(next: SandboxRecord, state: SandboxState): void {
  if (next.operation && next.state === "PAUSED") next.operation.args.frozen = true;
  moveTo(next, state, { reason: next.reason, message: next.message });
}

/** Stop signal, grace, KILL. Returns when every app's end is in the record, or cannot be learnt. Throws Unavailable when berthd ends first. */
export async function endApps(rooms: Rooms, live: Live, operation: Operation): Promise<void> {
  const allEnded = appsEnded(live);
  const { graceUntil, frozen } = operation.record.args;
  const left = Date.parse(graceUntil ?? operation.record.startedAt) - Date.now();
  if (frozen) await operation.step("thaw", () => thawIfPossible(rooms, live.record));
  if (left > 0) {
    await operation.step("signal", () => signalApps(rooms, live, (app) => app.stopSignal));
    const ended = await operation.step("grace", () => within(allEnded, left, operation.cancelled, operation.closing));
    if (ended) return;
    if (operation.closing.aborted) throw new BerthError("Unavailable", "berthd is shutting down; the next one goes on with this");
  }
  await operation.step("kill", async () => {
    await signalApps(rooms, live, () => SIGKILL);
    await within(allEnded, KILL_MS);
  });
}

/** Takes everything down and waits until every watch has seen it. */
export async function takeDown(rooms: Rooms, live: Live): Promise<void> {
  const { record } = live;
  await teardown(rooms, record);
  await within(appsEnded(live), KILL_MS);
  unwatch(live);
  for (const container of allContainers(record)) {
    if (container.restartAt !== undefined) endWait(container);
    // What was only created never ran.
    if (container.state === "CREATED") container.state = "WAITING";
    if (container.state === "RUNNING") markEnded(container, container === record.pause ? 128 + SIGKILL : undefined, "Killed");
  }
  // It is killed at every end: no error of anybody's.
  if (record.pause.exitCode === 128 + SIGKILL) record.pause.reason = "Stopped";
}

/** What cannot be thawed gets no stop signal, but is killed all the same. */
async function thawIfPossible(rooms: Rooms, record: SandboxRecord): Promise<void> {
  await thaw(rooms, record).catch((error: unknown) => {
    rooms.log.warn({ sandbox: record.id, err: error }, "a paused sandbox could not be resumed before its end");
  });
}

const appsEnded = ({ record, ended }: Live): Promise<unknown> =>
  Promise.all(record.containers.flatMap(({ name }) => ended.get(name) ?? []));

export function markEnded(container: ContainerRecord, code: number | undefined, unknownReason: string): void {
  sayEnd(container, code, unknownReason);
  container.finishedAt = new Date().toISOString();
  if (code !== undefined) container.exitCode = code;
}

/** It does not run again: it is as its last run ended. */
function endWait(container: ContainerRecord): void {
  delete container.restartAt;
  sayEnd(container, container.exitCode, "ExitCodeLost");
}

function sayEnd(container: ContainerRecord, code: number | undefined, unknownReason: string): void {
  container.state = code === undefined ? "UNKNOWN" : "EXITED";
  container.reason = code === undefined ? unknownReason : code === 0 ? "Completed" : "Error";
}

async function signalApps(rooms: Rooms, { record, ended }: Live, signalOf: (app: ContainerRecord) => number): Promise<void> {
  if (!record.runtime) return;
  const runtime = runtimeFor(record.runtime, record.id, record.spec);
  const running = record.containers.filter((app) => app.state === "RUNNING" && ended.has(app.name));
  const sent = running.map((app) => runtime.signal(runtimeContainer(rooms, record, app), signalOf(app)));
  for (const result of await Promise.allSettled(sent)) {
    // The teardown that follows kills by pid what a runtime could not signal.
    if (result.status === "rejected") rooms.log.warn({ sandbox: record.id, err: result.reason }, "the runtime could not send a signal");
  }
}

/** Whether the promise settled in time and before any of the signals. */
export async function within(promise: Promise<unknown>, milliseconds: number, ...signals: (AbortSignal | undefined)[]): Promise<boolean> {
  const given = signals.filter((signal) => signal !== undefined);
  if (given.some((signal) => signal.aborted)) return false;
  const { promise: over, resolve } = Promise.withResolvers<false>();
  const stop = (): void => resolve(false);
  // A longer time than a timer can hold would end at once.
  const timer = setTimeout(stop, Math.min(milliseconds, 2 ** 31 - 1));
  for (const signal of given) signal.addEventListener("abort", stop);
  try {
    return await Promise.race([promise.then(() => true as const), over]);
  } finally {
    clearTimeout(timer);
    for (const signal of given) signal.removeEventListener("abort", stop);
  }
}
