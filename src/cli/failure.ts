import { BerthError, type Violation } from "../errors.ts";
import { printError, printJson, printable } from "./output.ts";

/** What a refusal says, wherever it comes from: berthd's answer or a file that was read here. */
export interface Failure {
  /** Name of the gRPC status code. */
  readonly code: string;
  readonly message: string;
  /** The stable word of docs/errors.md; empty when no berthd answered. */
  readonly reason: string;
  readonly violations: readonly Violation[];
  readonly stage: string;
  readonly container: string;
  readonly logTail: string;
}

/** A refusal on its way to the user. */
export class RefusedError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.name = "RefusedError";
    this.failure = failure;
  }
}

/** The command has told its result, such as a refusal: nothing is left but the exit code. */
export class ToldError extends Error {
  readonly exitCode: number;

  constructor(exitCode = 1) {
    super("told");
    this.name = "ToldError";
    this.exitCode = exitCode;
  }
}

/** gRPC's status codes by number. */
const CODES = `OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED
  RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED`.split(/\s+/);

/** Tells the user why: as JSON on stdout, or as one block on stderr. */
export function report(thrown: unknown, json: boolean): void {
  const failure = failureOf(thrown);
  if (json) printJson(failureJson(failure));
  else printError(failureText(failure));
}

export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof RefusedError) return thrown.failure;
  if (thrown instanceof BerthError) {
    const { violations = [], stage = "", container = "", logTail = "" } = thrown.detail;
    return {
      code: CODES[thrown.kind.grpc] ?? "UNKNOWN",
      message: thrown.message,
      reason: thrown.reason,
      violations,
      stage,
      container,
      logTail,
    };
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return { code: "UNKNOWN", message, reason: "", violations: [], stage: "", container: "", logTail: "" };
}

function failureJson({ code, message, reason, violations, stage, container, logTail }: Failure): unknown {
  const where = Object.fromEntries(Object.entries({ stage, container, logTail }).filter(([, text]) => text !== ""));
  return { code, message, reason, violations, ...where };
}

export function failureText({ message, violations, stage, container, logTail }: Failure): string {
  // The message repeats the first violations for callers that see nothing else.
  const head = violations.length > 0 ? message.replace(/^(invalid request|refused by policy): .*$/s, "$1") : message;
  const where = [stage === "" ? "" : `stage ${stage}`, container === "" ? "" : `container ${container}`]
    .filter((text) => text !== "")
    .join(", ");
  return [
    `berth: ${printable(head)}${where === "" ? "" : ` (${printable(where)})`}`,
    ...violations.map((violation) => `  ${printable(violationText(violation))}`),
    ...(logTail === ""
      ? []
      : [
          "  log of the runtime:",
          ...logTail
            .trimEnd()
            .split("\n")
            .map((line) => `    ${printable(line)}`),
        ]),
  ].join("\n");
}

export function violationText({ field, rule, value, allowed }: Violation): string {
  const found = value === "" ? "" : ` (found ${value})`;
  return `${field}${field === "" ? "" : ": "}${rule}${found}${allowed === "" ? "" : `; allowed: ${allowed}`}`;
}
