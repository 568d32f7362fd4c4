/**
 * Starts programs without forking berthd. Node forks: 1.5 ms and another 50 µs for each MB of its memory, on the event loop.
 * posix_spawn costs a tenth of a millisecond whatever the memory. For what a create waits for; everything else is runCommand's.
 */

import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { CommandError, pathOnly } from "./command.ts";
import { posixSpawn, type Stdio, SystemError, waitpidNow } from "./libc.ts";

export interface SpawnOptions {
  readonly timeoutMs: number;
  /** File that takes stdout and stderr; emptied first. */
  readonly output: string;
  /** The whole environment; PATH alone when absent. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface SpawnResult {
  /** 128 + the signal's number when a signal ended it, as shells say it. */
  readonly exitCode: number;
  /** The end of what it wrote to stdout and stderr, at most 64 KiB. */
  readonly output: string;
  readonly timedOut: boolean;
}

const KEPT_BYTES = 64 * 1024;

/** A program that runs. */
export interface SpawnedProgram {
  /** Settles with the exit code, 128 + the signal's number when a signal ended it, as shells say it. */
  readonly exitCode: Promise<number>;
  /** Kills it with all of its session; nothing when it has ended. */
  kill(): void;
}

/**
 * Starts argv[0], looked up in PATH, in a session of its own. Descriptors stay the caller's. Throws CommandError naming the program when it cannot be run.
 */
export function spawnProgram(argv: readonly string[], stdio: Stdio, env: Readonly<Record<string, string>> = pathOnly()): SpawnedProgram {
  const pid = start(argv, stdio, env);
  let ended = false;
  const exitCode = exitOf(pid).then((status) => {
    ended = true;
    return exitCodeOf(status);
  });
  // Not yet waited for, so the number is still the child's.
  return { exitCode, kill: () => void (ended || process.kill(-pid, "SIGKILL")) };
}

/**
 * Runs argv[0], looked up in PATH, with an empty stdin, in a session of its own, which is killed as a whole when timeoutMs are over.
 * A non-zero exit is an answer, not an error. Throws CommandError naming the program when it cannot be run.
 */
export async function spawnCommand(argv: readonly string[], options: SpawnOptions): Promise<SpawnResult> {
  const program = startWithOutput(argv, options);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    program.kill();
  }, options.timeoutMs);
  const exitCode = await program.exitCode;
  clearTimeout(timer);
  return { exitCode, output: readFileSync(options.output).subarray(-KEPT_BYTES).toString("utf8"), timedOut };
}

function startWithOutput(argv: readonly string[], options: SpawnOptions): SpawnedProgram {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants;
  const empty = openSync("/dev/null", "r");
  const output = openSync(options.output, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600);
  try {
    return spawnProgram(argv, [empty, output, output], options.env);
  } finally {
    closeSync(empty);
    closeSync(output);
  }
}

function start(argv: readonly string[], stdio: Stdio, env: Readonly<Record<string, string>>): number {
  try {
    return posixSpawn(
      argv,
      Object.entries(env).map(([name, value]) => `${name}=${value}`),
      stdio,
    );
  } catch (error) {
    if (error instanceof SystemError) throw new CommandError(argv[0] ?? "", error.code, error);
    throw error;
  }
}

/** Who waits for which child. Node waits for its own children by their pids, so that the two do not meet. */
const waiting = new Map<number, (status: number) => void>();

async function exitOf(pid: number): Promise<number> {
  if (waiting.size === 0) process.on("SIGCHLD", reap);
  const { promise, resolve } = Promise.withResolvers<number>();
  waiting.set(pid, resolve);
  // It may have ended before anybody listened.
  reap();
  return await promise;
}

function reap(): void {
  for (const [pid, resolve] of waiting) {
    const status = waitpidNow(pid);
    if (status === undefined) continue;
    waiting.delete(pid);
    resolve(status);
  }
  if (waiting.size === 0) process.off("SIGCHLD", reap);
}

/** wait(2)'s status word as shells say it: 128 + signal when a signal ended the process. */
export function exitCodeOf(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}
