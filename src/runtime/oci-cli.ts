/** What runsc, runc and crun have in common: verbs on a command line, a deadline, a log that holds the reason. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { BerthError } from "../errors.ts";
import { CommandError } from "../host/command.ts";
import { spawnCommand, type SpawnResult } from "../host/spawn.ts";
import type { RuntimeContainer } from "./runtime.ts";

/** For one command of a runtime. Starting under load takes a second or two; what takes longer hangs. */
export const COMMAND_TIMEOUT_MS = 30_000;

/** The file that the runtime is told to log to. */
export const runtimeLog = (container: RuntimeContainer): string => join(container.dir, "runtime.log");

/** Runs a verb; throws RuntimeTimeout, RuntimeUnusable when the binary cannot be run, RuntimeFailed for an exit code other than 0. */
export async function runVerb(
  command: readonly string[],
  verb: readonly string[],
  container: RuntimeContainer,
  timeoutMs = COMMAND_TIMEOUT_MS,
): Promise<SpawnResult> {
  const result = await tryVerb(command, verb, container, timeoutMs);
  if (result.exitCode !== 0) throw runtimeFailure(verb[0] ?? "", result.output, container);
  return result;
}

/** Like runVerb, but an exit code other than 0 is an answer. */
export async function tryVerb(
  command: readonly string[],
  verb: readonly string[],
  container: RuntimeContainer,
  timeoutMs = COMMAND_TIMEOUT_MS,
): Promise<SpawnResult> {
  const result = await runOrRefuse([...command, ...verb], join(container.dir, `${verb[0]}.out`), timeoutMs);
  if (!result.timedOut) return result;
  throw new BerthError("RuntimeTimeout", `the runtime's ${verb[0]} did not end within ${timeoutMs} ms and was ended`, detailOf(container));
}

async function runOrRefuse(argv: string[], output: string, timeoutMs: number): Promise<SpawnResult> {
  try {
    return await spawnCommand(argv, { timeoutMs, output });
  } catch (error) {
    if (error instanceof CommandError) throw new BerthError("RuntimeUnusable", error.message, { cause: error });
    throw error;
  }
}

/** RuntimeFailed with the runtime's own words: what it printed, and the last lines of its log, which often alone hold the reason. */
export function runtimeFailure(verb: string, output: string, container: RuntimeContainer): BerthError {
  const said = lastLines(output, 3) || reasonIn(logTail(runtimeLog(container)));
  return new BerthError("RuntimeFailed", `the runtime's ${verb} failed: ${said}`, detailOf(container));
}

function detailOf(container: RuntimeContainer): { logTail?: string } {
  const tail = logTail(runtimeLog(container));
  return tail === "" ? {} : { logTail: tail };
}

const COMMAND_FAULT =
  /executable file .*not found|exec: .*no such file|no such file or directory|permission denied|not a directory|exec format error|error finding executable|failed to load|open executable/i;

/** Whether a runtime failed because a container's program cannot be run, which the caller can mend. */
export function isCommandFault({ reason, message, detail }: BerthError): boolean {
  return reason === "RuntimeFailed" && COMMAND_FAULT.test(`${message}\n${detail.logTail ?? ""}`);
}

/** The last messages of a log of the runtime. At most 2,000 characters. */
function logTail(file: string): string {
  return logged(file)
    .map(({ msg }) => msg)
    .slice(-10)
    .join("\n")
    .slice(-2000);
}

/** What a command of the runtime logged as its failure; empty when it did not fail by itself. */
export function loggedErrors(file: string): string {
  return logged(file)
    .flatMap(({ level, msg }) => (level === "error" || level === "fatal" ? [msg] : []))
    .join("\n")
    .slice(-2000);
}

/** A flat JSON object. runsc writes no line feed between them. */
const LOG_OBJECT = /\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}/g;

function logged(file: string): { level: string; msg: string }[] {
  if (!existsSync(file)) return [];
  return [...readFileSync(file, "utf8").matchAll(LOG_OBJECT)].map(([text]) => {
    const { level = "", msg = "" } = JSON.parse(text) as { level?: string; msg?: string };
    return { level, msg };
  });
}

function reasonIn(tail: string): string {
  // Several lines: under what runsc says at the very end, such as "JSON bytes:", lies what went wrong.
  return lastLines(tail, 3) || "it gave no reason";
}

/** A runtime may print a whole config.json into its error. */
function lastLines(text: string, count: number): string {
  return text.trim().split("\n").slice(-count).join(" ").slice(-1000);
}
