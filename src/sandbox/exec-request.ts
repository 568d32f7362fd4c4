/** What may be asked of exec, and the one way to it. Pure. */

import { z } from "zod";
import { invalidRequest } from "../errors.ts";
import { envVar, workingDir } from "./spec.ts";
import { text } from "./texts.ts";
import { violationsOf } from "../violations.ts";

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** A request that keeps every rule which needs no look at the sandbox. */
export interface ExecRequest {
  readonly command: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  /** Empty: the container's. */
  readonly workingDir: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  /** Only with tty, and then always. */
  readonly terminalSize?: TerminalSize | undefined;
}

/** Parses a document of ExecRequest's form. Throws InvalidRequest with every violation. */
export function parseExecRequest(input: unknown): ExecRequest {
  const parsed = execRequest.safeParse(input, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw invalidRequest(violationsOf(parsed.error, input));
}

/** Throws InvalidRequest. */
export function parseTerminalSize(input: unknown): TerminalSize {
  const parsed = terminalSize.safeParse(input, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw invalidRequest(violationsOf(parsed.error, input));
}

/** The kernel's limit for one argument or variable is 128 KiB with its NUL; for all together it depends, and is never below 1 MiB. */
const MAX_TEXT = 128 * 1024 - 1;
const MAX_ALL = 1024 * 1024;
const MAX_SIDE = 65_535;
const DEFAULT_SIZE: TerminalSize = { columns: 80, rows: 24 };

const side = z.number().refine((value) => Number.isInteger(value) && value >= 1 && value <= MAX_SIDE, {
  error: "is not the side of a terminal",
  params: { allowed: `1 to ${MAX_SIDE}` },
});
const terminalSize = z.strictObject({ columns: side, rows: side });

const execRequest = z
  .strictObject({
    command: z.array(text).min(1, { error: "is empty" }),
    env: z.array(envVar).prefault([]),
    workingDir: workingDir.prefault(""),
    tty: z.boolean().prefault(false),
    stdin: z.boolean().prefault(false),
    terminalSize: terminalSize.optional(),
  })
  .superRefine(({ command, env, tty, terminalSize: size }, context) => {
    const refuse = (path: (string | number)[], input: unknown, message: string, allowed: string): void => {
      context.addIssue({ code: "custom", path, input, message, params: { allowed } });
    };
    if (command[0] === "") refuse(["command", 0], "", "is empty", "the program to run");
    if (size !== undefined && !tty) refuse(["terminalSize"], size, "is only used with tty", "leave it out, or tty: true");
    const args = command.map((word, index) => ({ path: ["command", index], bytes: Buffer.byteLength(word) }));
    const variables = env.map(({ name, value }, index) => ({ path: ["env", index], bytes: Buffer.byteLength(`${name}=${value}`) }));
    for (const { path, bytes } of [...args, ...variables])
      if (bytes > MAX_TEXT) refuse(path, `${bytes} bytes`, "is too long", `at most ${MAX_TEXT} bytes`);
    const all = [...args, ...variables].reduce((sum, { bytes }) => sum + bytes + 1, 0);
    if (all > MAX_ALL) refuse(["command"], `${all} bytes`, "is too long together with env", `at most ${MAX_ALL} bytes in all`);
  })
  .transform((request) => (request.tty ? { terminalSize: DEFAULT_SIZE, ...request } : request));
