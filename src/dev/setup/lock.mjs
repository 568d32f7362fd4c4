// One setup at a time on a machine: apt, dpkg and npm ci do not bear company.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { findCommand } from "./tools.mjs";

const LOCK_FILE = "/var/lock/berth-setup.lock";

/** Runs `work` while holding the machine's setup lock.
 * The lock is held by a `flock` child whose stdin is ours: it lets go when this process ends, however it ends.
 * @template T
 * @param {(line: string) => void} say
 * @param {() => T | Promise<T>} work
 * @param {string} [file] */
export async function withSetupLock(say, work, file = LOCK_FILE) {
  const flock = findCommand("flock");
  if (flock === undefined) return work();
  const holder = spawn(flock, ["--exclusive", file, "sh", "-c", "echo held; exec cat"], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(holder, "close");
  const waiting = setTimeout(() => say("waiting for another setup on this machine"), 500);
  const first = await Promise.race([once(holder.stdout, "data"), ended]);
  clearTimeout(waiting);
  // A lock file that cannot be opened (not root) is no reason to fail: what needs root says so itself.
  if (typeof first[0] === "number") say(`no lock on ${file}; going on without`);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}
