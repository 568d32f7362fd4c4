import { PassThrough } from "node:stream";
import { type Command, InvalidArgumentError } from "commander";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SandboxesExecRequestSchema, SandboxesExecResponse } from "../gen/berth/v1/sandboxes_pb.js";
import { BerthError } from "../errors.ts";
import { failureOf, report, ToldError } from "./failure.ts";
import { type Globals, globalsOf } from "./globals.ts";
import { writeBytes } from "./output.ts";

/** As other engines: what no program is likely to end with tells what went wrong before it ran. */
const BERTH_FAILED = 125;
const CANNOT_RUN = 126;
const NOT_FOUND = 127;

interface ExecOptions {
  readonly container?: string;
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly env: readonly EnvVar[];
  readonly workdir?: string;
}

interface EnvVar {
  readonly name: string;
  readonly value: string;
}

type Request = MessageInitShape<typeof SandboxesExecRequestSchema>;

export function declareExec(berth: Command): void {
  berth
    .command("exec")
    .summary("run a program in a container that runs")
    .description(
      "Runs a program in an app container, with the container's user, environment and capabilities. Its stdout and stderr are berth's. " +
        "When berth ends before the program, the program is killed, or hung up with -t.",
    )
    .argument("<SANDBOX>", "name or full id")
    .argument("<COMMAND...>", "the program and its arguments, after --")
    .option("-c, --container <NAME>", "container; may be left out when there is one app")
    .option("-i, --interactive", "pass berth's stdin on; otherwise the program's is empty")
    .option("-t, --tty", "give the program a terminal of the size of berth's own; with -i berth's becomes raw")
    .option("-e, --env <NAME=VALUE>", "set a variable over the container's; may be repeated", addVariable, [])
    .option("-w, --workdir <PATH>", "working directory; the container's when left out")
    .addHelpText(
      "after",
      `
Exit codes: that of the program, 128 + signal when a signal ended it; 125 berth or berthd failed, 126 the program cannot be run,
127 it was not found, 2 wrong usage.

Example:
  berth exec web -- ls -l /
  berth exec -it web -c app -- sh
  echo 'select 1' | berth exec -i web -c db -- psql`,
    )
    .action(async (sandbox: string, program: string[], options: ExecOptions, command: Command) => {
      const exitCode = await exec(sandbox, program, options, globalsOf(command)).catch((error: unknown) => {
        report(error, globalsOf(command).json);
        return failureCode(error);
      });
      throw new ToldError(exitCode);
    });
}

function addVariable(text: string, before: readonly EnvVar[]): readonly EnvVar[] {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("It is not NAME=VALUE.");
  return [...before, { name: text.slice(0, equals), value: text.slice(equals + 1) }];
}

async function exec(name: string, command: string[], options: ExecOptions, globals: Globals): Promise<number> {
  const { withSession, resolveId } = await import("./session.ts");
  const { interactive = false, tty = false } = options;
  if (tty && !process.stdout.isTTY) throw refusedTerminal("stdout");
  if (tty && interactive && !process.stdin.isTTY) throw refusedTerminal("stdin");
  try {
    return await withSession(globals, async (session) => {
      const id = await resolveId(session, globals, name);
      if (tty && interactive) process.stdin.setRawMode(true);
      return await passOutput(session.sandboxes.exec(requests(id, command, options)));
    });
  } finally {
    if (tty && interactive) process.stdin.setRawMode(false);
    // Nobody reads it any more, and it must not keep berth here.
    process.stdin.destroy();
  }
}

function refusedTerminal(what: string): BerthError {
  return new BerthError("InvalidRequest", `-t needs a terminal, and berth's ${what} is none: leave -t out`);
}

/** The start, and then what comes from stdin, no faster than it is taken, and from the terminal. */
function requests(id: string, command: string[], options: ExecOptions): AsyncIterable<Request> {
  const { container = "", interactive = false, tty = false, env, workdir = "" } = options;
  const sent = new PassThrough({ objectMode: true });
  const send = (message: Request["message"] & object): boolean => sent.write({ message } satisfies Request);
  const start = { id, container, command, env: [...env], workingDir: workdir, stdin: interactive, tty };
  send({ case: "start", value: tty ? { ...start, terminalSize: terminalSize() } : start });
  if (tty) process.stdout.on("resize", () => send({ case: "resize", value: terminalSize() }));
  if (interactive) {
    process.stdin.on("data", (bytes: Buffer) => {
      if (!send({ case: "stdin", value: bytes })) process.stdin.pause();
    });
    process.stdin.on("end", () => sent.end());
    sent.on("drain", () => process.stdin.resume());
  } else if (!tty) {
    sent.end();
  }
  return sent;
}

function terminalSize(): { columns: number; rows: number } {
  return { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
}

/** Answers the program's exit code. */
async function passOutput(answers: AsyncIterable<SandboxesExecResponse>): Promise<number> {
  for await (const { message } of answers) {
    if (message.case === "stdout") await writeBytes(process.stdout, message.value);
    else if (message.case === "stderr") await writeBytes(process.stderr, message.value);
    else if (message.case === "exited") return message.value.exitCode;
  }
  throw new Error("berthd said no more, but not how the program ended");
}

function failureCode(error: unknown): number {
  const { reason, message } = failureOf(error);
  if (reason !== "StartFailed") return BERTH_FAILED;
  return /not found|no such file|error finding executable/i.test(message) ? NOT_FOUND : CANNOT_RUN;
}
