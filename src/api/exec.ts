/** Exec between the wire and the heart: one stream of requests, one of answers. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidRequest, show, toBerthError } from "../errors.ts";
import type { ExecStart, SandboxesExecRequest, SandboxesExecResponseSchema } from "../gen/berth/v1/sandboxes_pb.js";
import type { ExecSession } from "../sandbox/exec.ts";
import { type ExecRequest, parseExecRequest, parseTerminalSize } from "../sandbox/exec-request.ts";
import type { Sandboxes } from "../sandbox/sandboxes.ts";
import { signalNumber } from "../sandbox/signals.ts";
import { idViolations, refuse } from "./wire.ts";

type Answer = MessageInitShape<typeof SandboxesExecResponseSchema>;

/** What is wrong with the requests after the start ends the program: half of what was asked for must not run on. */
export async function* exec(
  sandboxes: Pick<Sandboxes, "exec">,
  requests: AsyncIterable<SandboxesExecRequest>,
  signal: AbortSignal,
): AsyncGenerator<Answer> {
  const incoming = requests[Symbol.asyncIterator]();
  const start = await startOf(incoming);
  const request = readStart(start);
  const session = await sandboxes.exec(start.id, start.container, request);
  const hangUp = (): void => void session.hangUp();
  signal.addEventListener("abort", hangUp, { once: true });
  let fault: Error | undefined;
  void feed(session, request, { [Symbol.asyncIterator]: () => incoming }).catch((error: unknown) => {
    fault ??= toBerthError(error);
    hangUp();
  });
  try {
    yield { message: { case: "started", value: {} } };
    for await (const { stream, data } of session.output) yield { message: { case: stream, value: data } };
    const exitCode = await session.exitCode();
    if (fault) throw fault;
    yield { message: { case: "exited", value: { exitCode } } };
  } finally {
    signal.removeEventListener("abort", hangUp);
    await session.hangUp();
  }
}

async function startOf(requests: AsyncIterator<SandboxesExecRequest>): Promise<ExecStart> {
  const first = await requests.next();
  if (!first.done && first.value.message.case === "start") return first.value.message.value;
  const value = first.done ? "nothing" : (first.value.message.case ?? "an empty message");
  throw invalidRequest([{ field: "start", rule: "is required first", value, allowed: "what to run" }]);
}

function readStart({ id, command, env, workingDir, tty, stdin, terminalSize }: ExecStart): ExecRequest {
  refuse(idViolations(id));
  const size = terminalSize && { columns: terminalSize.columns, rows: terminalSize.rows };
  const variables = env.map(({ name, value }) => ({ name, value }));
  return parseExecRequest({ command, env: variables, workingDir, tty, stdin, ...(size ? { terminalSize: size } : {}) });
}

/** Passes on what the caller sends until it sends no more. */
async function feed(session: ExecSession, { stdin, tty }: ExecRequest, requests: AsyncIterable<SandboxesExecRequest>): Promise<void> {
  for await (const { message } of requests) {
    if (message.case === "stdin" && stdin) await session.write(message.value);
    else if (message.case === "closeStdin" && stdin) session.closeInput();
    else if (message.case === "resize" && tty)
      session.resize(parseTerminalSize({ columns: message.value.columns, rows: message.value.rows }));
    else if (message.case === "signal") await session.signal(readSignal(message.value));
    else throw misplaced(message.case);
  }
  if (stdin) session.closeInput();
}

function readSignal(text: string): number {
  const number = signalNumber(text);
  if (number !== undefined) return number;
  throw invalidRequest([
    { field: "signal", rule: "is not a signal", value: show(text), allowed: "a name such as SIGTERM or TERM, or 1 to 64" },
  ]);
}

function misplaced(message: SandboxesExecRequest["message"]["case"]): Error {
  const rules = {
    start: ["was sent before", "start first and once"],
    stdin: ["was not asked for", "start.stdin: true"],
    closeStdin: ["was not asked for", "start.stdin: true"],
    resize: ["is only used with a terminal", "start.tty: true"],
    signal: ["", ""],
    none: ["is required", "one of stdin, close_stdin, resize, signal"],
  } as const;
  const [rule, allowed] = rules[message ?? "none"];
  return invalidRequest([{ field: message ?? "message", rule, value: message ?? "nothing", allowed }]);
}
