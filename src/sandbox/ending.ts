/** Ends the apps of a sandbox and takes it down, and writes into the record what became of each. */

import { runtimeFor } from "../runtime/registry.ts";
import { type ContainerRecord, hasEnded, type SandboxRecord } from "./record.ts";
import { type Rooms, runtimeContainer } from "./rooms.ts";
import { BerthError } from "../errors.ts";
import { teardown } from "./teardown.ts";

/** After KILL, for the kernel and the runtime to say that it happened. */
const KILL_MS = 10_000;
const SIGKILL = 9;

/** By container name: settles when the app's end is in the record. */
export type Ends = ReadonlyMap<string, Promise<void>>;

/** What apps have between the stop signal and KILL. */
export interface Grace {
  /** Milliseconds since the epoch. */
  readonly until: number;
  /** Ends it at once. */
  readonly hurry?: AbortSignal | undefined;
  /** berthd ends: nothing more is done, the next berthd goes on. */
  readonly closing: AbortSignal;
}

/** Stop signal, grace, KILL. Returns when every app's end is in the record, or cannot be learnt. Throws Unavailable when berthd ends first. */
export async function endApps(rooms: Rooms, record: SandboxRecord, ends: Ends, { until, hurry, closing }: Grace): Promise<void> {
  const allEnded = Promise.all(ends.values());
  if (until > Date.now()) {
    await signalApps(rooms, record, ends, (app) => app.stopSignal);
    if (await within(allEnded, until - Date.now(), hurry, closing)) return;
    if (closing.aborted) throw new BerthError("Unavailable", "berthd is shutting down; the next one goes on with this");
  }
  await signalApps(rooms, record, ends, () => SIGKILL);
  await within(allEnded, KILL_MS);
}

/** Takes everything down and waits until every watch has seen it. */
export async function takeDown(rooms: Rooms, record: SandboxRecord, ends: Ends): Promise<void> {
  await teardown(rooms, record);
  await within(Promise.all(ends.values()), KILL_MS);
  for (const container of record.containers) {
    if (container.state === "RUNNING" || container.state === "CREATED") markEnded(container, undefined, "Killed");
  }
  const { pause } = record;
  if (!hasEnded(pause)) markEnded(pause, 128 + SIGKILL, "");
  // It is killed at every end: no error of anybody's.
  if (pause.exitCode === 128 + SIGKILL) pause.reason = "Stopped";
}

export function markEnded(container: ContainerRecord, code: number | undefined, unknownReason: string): void {
  container.state = code === undefined ? "UNKNOWN" : "EXITED";
  container.reason = code === undefined ? unknownReason : code === 0 ? "Completed" : "Error";
  container.finishedAt = new Date().toISOString();
  if (code !== undefined) container.exitCode = code;
}

async function signalApps(rooms: Rooms, record: SandboxRecord, ends: Ends, signalOf: (app: ContainerRecord) => number): Promise<void> {
  if (!record.runtime) return;
  const runtime = runtimeFor(record.runtime, record.id, record.spec);
  const running = record.containers.filter((app) => app.state === "RUNNING" && ends.has(app.name));
  const sent = running.map((app) => runtime.signal(runtimeContainer(rooms, record, app), signalOf(app)));
  for (const result of await Promise.allSettled(sent)) {
    // The teardown that follows kills by pid what a runtime could not signal.
    if (result.status === "rejected") rooms.log.warn({ sandbox: record.id, err: result.reason }, "the runtime could not send a signal");
  }
}

/** Whether the promise settled in time and before any of the signals. */
async function within(promise: Promise<unknown>, milliseconds: number, ...signals: (AbortSignal | undefined)[]): Promise<boolean> {
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
