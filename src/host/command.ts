/** Runs a program to its end under a deadline. */
import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { Readable } from "node:stream";
import type { Writable } from "node:stream";

const KEPT_BYTES = 64 * 1024;
const GRACE_MS = 200;

export interface CommandOptions {
  readonly timeoutMs: number;
  /** Given on stdin, which is else empty. A stream is always read to its end; one that fails ends stdin. */
  readonly input?: string | Uint8Array | Readable;
  /** The whole environment; PATH alone when absent. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface CommandResult {
  /** 128 + the signal's number when a signal ended it, as shells say it. */
  readonly exitCode: number;
  /** The last 64 KiB, as UTF-8. */
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  readonly durationMs: number;
}

/** A program that could not be run at all. */
export class CommandError extends Error {
  override readonly name = "CommandError";
  readonly binary: string;

  constructor(binary: string, reason: string, cause: unknown) {
    super(`cannot run ${binary}: ${reason}`, { cause });
    this.binary = binary;
  }
}

/**
 * Runs argv[0], looked up in PATH, in a process group of its own, which is killed as a whole when timeoutMs are over.
 * A non-zero exit is an answer, not an error. What the program leaves running in the background is not waited for.
 * Errors: CommandError naming the binary when it cannot be run.
 */
export async function runCommand(argv: readonly string[], options: CommandOptions): Promise<CommandResult> {
  const { execa } = await import("execa"); // 160 ms to load, so not before the first command
  const [binary = "", ...args] = argv;
  const started = performance.now();
  const running = execa(binary, args, {
    stdin: options.input === undefined ? "ignore" : "pipe",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: options.env ?? pathOnly(),
    extendEnv: false,
    // A group of its own: a timeout reaches every descendant, and a signal to berthd's group reaches none.
    detached: true,
    buffer: false,
    reject: false,
  });
  const child = running.nodeChildProcess;
  if (options.input !== undefined && child.stdin) feed(options.input, child.stdin);
  const stdout = keepTail(child.stdout);
  const stderr = keepTail(child.stderr);
  const timeout = killGroupAfter(child, options.timeoutMs);
  child.once("exit", () => stopReadingAfter(child, GRACE_MS));
  const result = await running;
  timeout.cancel();
  if (result.exitCode === undefined && result.signal === undefined) {
    throw new CommandError(binary, result.originalMessage ?? "it could not be started", result.cause);
  }
  return {
    exitCode: result.exitCode ?? 128 + (result.signal === undefined ? 0 : constants.signals[result.signal]),
    stdout: stdout(),
    stderr: stderr(),
    timedOut: timeout.fired(),
    durationMs: performance.now() - started,
  };
}

/** Writes the input. What the program does not read is read to its end all the same, for those who count the bytes. */
function feed(input: string | Uint8Array | Readable, stdin: Writable): void {
  const source = typeof input === "string" || input instanceof Uint8Array ? Readable.from([input]) : input;
  const drain = (): void => {
    source.unpipe(stdin);
    source.resume();
  };
  stdin.once("error", drain).once("close", drain); // a program that ends early is no fault: its exit code tells
  source.once("error", () => stdin.end()).once("close", () => stdin.end());
  source.pipe(stdin);
}

/** The environment of a program that is given none. */
export function pathOnly(): { readonly PATH: string } {
  return { PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin" };
}

/** Collects a stream and answers a function that gives its last bytes as text. */
function keepTail(stream: Readable | null): () => string {
  let kept = Buffer.alloc(0);
  stream?.on("data", (chunk: Buffer) => {
    kept = Buffer.concat([kept, chunk]).subarray(-KEPT_BYTES);
  });
  return () => kept.toString("utf8");
}

/** Kills the process group when the time is over. */
function killGroupAfter(child: ChildProcess, milliseconds: number): { cancel(): void; fired(): boolean } {
  let fired = false;
  const timer = setTimeout(() => {
    // Between exit and the end of its output the pid is no longer the child's: then there is nobody left to kill.
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    fired = true;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      child.kill("SIGKILL"); // some of the group are another user's: then at least the one that is waited for
    }
  }, milliseconds);
  return { cancel: () => clearTimeout(timer), fired: () => fired };
}

/** A background process that holds the output open must not keep us waiting: what was written by then is read, no more. */
function stopReadingAfter(child: ChildProcess, milliseconds: number): void {
  const timer = setTimeout(() => {
    child.stdout?.destroy();
    child.stderr?.destroy();
  }, milliseconds);
  child.once("close", () => clearTimeout(timer));
}
