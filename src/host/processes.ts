/** Processes that may be gone and whose pid may be used again: a pid is only believed together with its start time. */
import { closeSync, readdirSync, readFileSync } from "node:fs";
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
  const stat = readProc(pid, "stat");
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
export function killProcess(identity: ProcessIdentity, signal: NodeJS.Signals | number): boolean {
  let pidfd: number | undefined;
  try {
    pidfd = pidfdOpen(identity.pid);
    if (!isAlive(identity)) return false;
    pidfdSendSignal(pidfd, typeof signal === "number" ? signal : constants.signals[signal]);
    return true;
  } catch (error) {
    if (error instanceof SystemError && error.code === "ESRCH") return false;
    throw error;
  } finally {
    if (pidfd !== undefined) closeSync(pidfd);
  }
}

/** Processes whose command line holds all of the texts. Takes a look at each process of the node: not for what is done often. */
export function processesNaming(texts: readonly string[]): ProcessIdentity[] {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  return pids.flatMap((pid) => {
    const command = readProc(pid, "cmdline") ?? "";
    return texts.every((text) => command.includes(text)) ? (processIdentity(pid) ?? []) : [];
  });
}

/** Whether a process is in the control group or below it, in any hierarchy. False when it is gone. */
export function isInCgroup({ pid }: ProcessIdentity, path: string): boolean {
  const groups = readProc(pid, "cgroup")?.split("\n") ?? [];
  // HIERARCHY:CONTROLLERS:PATH
  return groups.map((line) => `${line.split(":").slice(2).join(":")}/`).some((group) => group.startsWith(`${path}/`));
}

function readProc(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return undefined;
  }
}
