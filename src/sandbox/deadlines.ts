/** What a sandbox is to do by itself at a certain time, as its record says. */

import { DELETE } from "./delete.ts";
import type { Story } from "./operations.ts";
import type { ContainerRecord, OperationArgs, SandboxRecord } from "./record.ts";
import { RESTART } from "./restart.ts";
import { STOP } from "./stop.ts";

/** Between stop signal and KILL, where neither call nor spec says. */
const DEFAULT_GRACE_SECONDS = 10;

export interface Due {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly story: Story;
  /** Of an operation that begins then. */
  args(now: number): OperationArgs;
}

/** What is due first. Of what is due already, an end comes before a restart. */
export function dueNext(record: SandboxRecord, now: number): Due | undefined {
  const { state, reason, finishedAt, activeSince, spec } = record;
  const all: Due[] = [];
  // After a stop that failed something may still run, and no caller need be there to try again.
  if (state === "RUNNING" || state === "PAUSED" || (state === "FAILED" && reason === "StopFailed")) {
    const stop = (from: string | undefined, seconds: number | undefined, because: OperationArgs["because"]): void => {
      if (from === undefined || seconds === undefined || because === undefined) return;
      all.push({
        at: Date.parse(from) + seconds * 1000,
        story: STOP,
        args: (begun) => ({ because, graceUntil: graceUntil(record, begun) }),
      });
    };
    stop(activeSince, spec.activeDeadlineSeconds, "DeadlineExceeded");
    stop(leaseOf(record), 0, "LeaseExpired");
  }
  if (state === "RUNNING") all.push(...record.containers.flatMap(restart));
  if ((state === "COMPLETED" || state === "STOPPED" || state === "FAILED") && spec.ttlSecondsAfterFinished !== undefined && finishedAt)
    all.push({ at: Date.parse(finishedAt) + spec.ttlSecondsAfterFinished * 1000, story: DELETE, args: () => ({}) });
  // The sort keeps the order of equals.
  return all.sort((a, b) => Math.max(a.at, now) - Math.max(b.at, now))[0];
}

function restart({ name, restartAt }: ContainerRecord): Due[] {
  return restartAt === undefined ? [] : [{ at: Date.parse(restartAt), story: RESTART, args: () => ({ container: name }) }];
}

/** When the sandbox is stopped unless it is renewed. */
export const leaseOf = ({ expiresAt, spec }: SandboxRecord): string | undefined => expiresAt ?? spec.expiresAt;

/** When apps that are asked to end now are killed; `graceMs` is what the call says. */
export function graceUntil({ spec }: SandboxRecord, now: number, graceMs?: number): string {
  return new Date(now + (graceMs ?? (spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS) * 1000)).toISOString();
}
