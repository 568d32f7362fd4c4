/** Processes that may be gone and whose pid may be used again: a pid is only believed together with its start time. */
import { closeSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { SystemError, pidfdOpen, pidfdSendSignal } from "./libc.ts";

/** A process that may be gone and its pid used again: both numbers must match. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  readonly startTime: number;
}

/** The identity of a running process; undefined when it is gone or a zombie. */
export function processIdentity(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  if (stat === undefined) return undefined;
  // The second field is the program's name in brackets and may hold blanks and brackets itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  if (state === "Z" || state === "X") return undefined;
  return { pid, startTime: Number(fields[22 - 3]) };
}

/** Whether this very process still runs; a zombie does not. */
export function isAlive(identity: ProcessIdentity): boolean {
  return processIdentity(identity.pid)?.startTime === identity.startTime;
}

/**
 * Sends a signal to this very process and says whether it was there to get it.
 * The pidfd is opened before the start time is checked, so what is signalled is what was checked. Errors: SystemError (EPERM).
 */
export function killProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  let pidfd: number | undefined;
  try {
    pidfd = pidfdOpen(identity.pid);
    if (!isAlive(identity)) return false;
    pidfdSendSignal(pidfd, constants.signals[signal]);
    return true;
  } catch (error) {
    if (error instanceof SystemError && error.code === "ESRCH") return false;
    throw error;
  } finally {
    if (pidfd !== undefined) closeSync(pidfd);
  }
}

function readStat(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
}
