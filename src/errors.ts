/** Every error that berthd answers, once: reason, gRPC status, HTTP status, retryable. docs/errors.md lists the same; a test ties them. */

interface ErrorKind {
  /** Number of the gRPC status code. */
  readonly grpc: number;
  readonly http: number;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** What it means, for the docs. */
  readonly meaning: string;
}

export const ERROR_KINDS = {
  InvalidRequest: { grpc: 3, http: 400, retryable: false, meaning: "The request breaks rules; every violation is listed with its field." },
  PolicyRefused: {
    grpc: 7,
    http: 403,
    retryable: false,
    meaning: "The node's policy does not allow what was asked for; every violation is listed with the level or limit that refuses it.",
  },
  UserUnresolvable: {
    grpc: 3,
    http: 400,
    retryable: false,
    meaning: "A user or group name cannot be found in the image's /etc/passwd or /etc/group.",
  },
  ImageInvalid: { grpc: 3, http: 400, retryable: false, meaning: "The image exists but is damaged or of a form that is not supported." },
  ImageNotFound: { grpc: 5, http: 404, retryable: false, meaning: "The image reference names nothing on this node." },
  SandboxNotFound: { grpc: 5, http: 404, retryable: false, meaning: "There is no sandbox of this id or name." },
  ContainerNotFound: { grpc: 5, http: 404, retryable: false, meaning: "The sandbox has no container of this name." },
  NameTaken: { grpc: 6, http: 409, retryable: false, meaning: "A sandbox of this name exists, or is being created, with another spec." },
  RuntimeClassUnknown: { grpc: 9, http: 412, retryable: false, meaning: "The node has no runtime class of this name." },
  RuntimeUnusable: {
    grpc: 9,
    http: 412,
    retryable: true,
    meaning: "The binary of the runtime class is missing, too old or does not work.",
  },
  NotEnforceable: { grpc: 9, http: 412, retryable: false, meaning: "The runtime cannot give on this node what was asked for." },
  WrongState: { grpc: 9, http: 412, retryable: false, meaning: "The sandbox is in a state from which this call cannot go on." },
  Conflict: { grpc: 10, http: 409, retryable: false, meaning: "The sandbox has changed since the caller looked at it." },
  Busy: { grpc: 10, http: 409, retryable: true, meaning: "Another operation runs on the sandbox." },
  Cancelled: { grpc: 10, http: 409, retryable: true, meaning: "A creation or start was cancelled by a delete and undone." },
  Interrupted: {
    grpc: 10,
    http: 409,
    retryable: true,
    meaning: "berthd ended in the middle of the operation; what could be undone was.",
  },
  RuntimeFailed: { grpc: 13, http: 500, retryable: false, meaning: "A command of the runtime failed; the tail of its log is attached." },
  RuntimeTimeout: { grpc: 4, http: 504, retryable: true, meaning: "A command of the runtime did not end in time and was ended." },
  StartFailed: {
    grpc: 9,
    http: 412,
    retryable: false,
    meaning: "A container's command could not be started, such as a program that does not exist.",
  },
  Draining: {
    grpc: 14,
    http: 503,
    retryable: true,
    meaning: "The node is drained: it creates and starts no sandboxes until that is undone.",
  },
  Unavailable: { grpc: 14, http: 503, retryable: true, meaning: "berthd is starting or shutting down." },
  CursorGone: {
    grpc: 11,
    http: 410,
    retryable: false,
    meaning: "Events after this cursor are no longer there: `oldest_cursor` is where a watch can go on, or it takes a snapshot.",
  },
  StorageFull: { grpc: 8, http: 507, retryable: true, meaning: "A disk of the node is full. What cannot be written down is not begun." },
  JournalFailed: {
    grpc: 14,
    http: 503,
    retryable: true,
    meaning: "berthd's journal cannot be written, and what cannot be written down is not begun; berthd's log says why.",
  },
  NotImplemented: { grpc: 12, http: 501, retryable: false, meaning: "berthd does not do this." },
  Internal: { grpc: 13, http: 500, retryable: false, meaning: "A fault in berthd or the node; the log has more." },
} as const satisfies Record<string, ErrorKind>;

export type ErrorReason = keyof typeof ERROR_KINDS;

/** One fault in a request. */
export interface Violation {
  /** Path such as spec.containers[0].securityContext.runAsUser. */
  readonly field: string;
  readonly rule: string;
  /** The value that was found, for people. */
  readonly value: string;
  /** What would be right. */
  readonly allowed: string;
}

/** The value for people: JSON, at most 200 characters. */
export function show(value: unknown): string {
  const json = JSON.stringify(value, (_key, inner: unknown) => (jsonHas(inner) ? inner : String(inner))) ?? String(value);
  return json.length > 200 ? `${json.slice(0, 197)}...` : json;
}

/** JSON has neither bigint nor NaN and infinity. */
function jsonHas(value: unknown): boolean {
  return typeof value !== "bigint" && (typeof value !== "number" || Number.isFinite(value));
}

export interface ErrorDetail {
  readonly stage?: string;
  readonly container?: string;
  readonly logTail?: string;
  readonly violations?: readonly Violation[];
  /** With CursorGone. */
  readonly oldestCursor?: string;
  readonly cause?: unknown;
}

/** The one error type that crosses rooms. */
export class BerthError extends Error {
  readonly reason: ErrorReason;
  readonly detail: ErrorDetail;

  constructor(reason: ErrorReason, message: string, detail: ErrorDetail = {}) {
    super(message, { cause: detail.cause });
    this.name = "BerthError";
    this.reason = reason;
    this.detail = detail;
  }

  get kind(): ErrorKind {
    return ERROR_KINDS[this.reason];
  }

  /** The same error with what the caller knows about where it happened; what was known before wins. */
  at(where: { stage?: string; container?: string }): BerthError {
    return new BerthError(this.reason, this.message, { ...where, ...this.detail });
  }
}

/** An InvalidRequest with its violations; the message names the first ones. */
export function invalidRequest(violations: readonly Violation[]): BerthError {
  return new BerthError("InvalidRequest", `invalid request: ${firstOf(violations)}`, { violations });
}

/** A PolicyRefused with its violations; the message names the first ones. */
export function policyRefused(violations: readonly Violation[]): BerthError {
  return new BerthError("PolicyRefused", `refused by policy: ${firstOf(violations)}`, { violations });
}

function firstOf(violations: readonly Violation[]): string {
  const shown = violations.slice(0, 5).map((v) => `${v.field}: ${v.rule} (found ${v.value}; allowed: ${v.allowed})`);
  const more = violations.length > shown.length ? `; and ${violations.length - shown.length} more` : "";
  return `${shown.join("; ")}${more}`;
}

/** A NotEnforceable of what the node lacks, with its violations; the same words are said once. */
export function notOnNode(violations: readonly Violation[]): BerthError {
  const lines = new Set(violations.map(({ field, value, rule, allowed }) => `${field}: ${value} ${rule}; ${allowed}`));
  return new BerthError("NotEnforceable", `not possible on this node: ${[...lines].join("; ")}`, { violations });
}

/** Makes a BerthError of anything thrown. */
export function toBerthError(thrown: unknown): BerthError {
  if (thrown instanceof BerthError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  return new BerthError(code === "ENOSPC" || code === "EDQUOT" ? "StorageFull" : "Internal", message, { cause: thrown });
}
