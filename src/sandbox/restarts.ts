/** Whether and when an app that ended runs again, as in Kubernetes. Pure. */

import { type ContainerRecord, hasEnded, type SandboxRecord } from "./record.ts";
import type { RestartPolicy } from "./spec.ts";

/** Before the second restart in a row; each further one waits twice as long. The first waits for nothing. */
const FIRST_DELAY_MS = 10_000;
const LONGEST_DELAY_MS = 300_000;
/** An app that ran this long was sound: what ends it then is no part of a row. */
const SOUND_RUN_MS = 600_000;

/** How an app ended. */
export interface Run {
  /** Undefined when nobody could learn it, which is no success. */
  readonly exitCode: number | undefined;
  readonly milliseconds: number;
  /** Restarts in a row before this run. */
  readonly row: number;
}

export interface Restart {
  readonly delayMs: number;
  /** Restarts in a row, with this one. */
  readonly row: number;
}

/** Undefined when the app stays as it ended. */
export function restartOf(policy: RestartPolicy, { exitCode, milliseconds, row }: Run): Restart | undefined {
  if (policy === "Never" || (policy === "OnFailure" && exitCode === 0)) return undefined;
  const before = milliseconds >= SOUND_RUN_MS ? 0 : row;
  const delayMs = before === 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (before - 1), LONGEST_DELAY_MS);
  return { delayMs, row: before + 1 };
}

/** When and whether an app runs again, as its record says; undefined while it runs and when it stays as it ended. */
export function restartAfter({ spec }: SandboxRecord, app: ContainerRecord): Restart | undefined {
  if (!hasEnded(app)) return undefined;
  const { exitCode, startedAt = "", finishedAt = "", restartRow: row = 0 } = app;
  return restartOf(spec.restartPolicy, { exitCode, milliseconds: Date.parse(finishedAt) - Date.parse(startedAt), row });
}

/** Writes down for each app that runs again when it does, as long as its sandbox runs. Returns whether there was one. */
export function planRestarts(record: SandboxRecord, now: number): boolean {
  if (record.state !== "RUNNING" && record.state !== "PAUSED") return false;
  const planned = record.containers.filter((app) => {
    const restart = restartAfter(record, app);
    if (restart) awaitRestart(app, restart, now);
    return restart !== undefined;
  });
  return planned.length > 0;
}

/** A try that never came to run the app counts as a run that failed. */
export function planAfterFailure({ spec }: SandboxRecord, app: ContainerRecord, now: number): void {
  const restart = restartOf(spec.restartPolicy, { exitCode: undefined, milliseconds: 0, row: app.restartRow ?? 0 });
  if (restart) awaitRestart(app, restart, now);
}

function awaitRestart(app: ContainerRecord, { delayMs, row }: Restart, now: number): void {
  app.state = "WAITING";
  app.reason = delayMs === 0 ? "Restarting" : "CrashLoopBackOff";
  app.restartRow = row;
  app.restartAt = new Date(now + delayMs).toISOString();
}
