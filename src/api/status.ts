import { create, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, type status, type StatusObject } from "@grpc/grpc-js";
import { BerthError, type Violation } from "../errors.ts";
import { type ErrorDetail, ErrorDetailSchema } from "../gen/berth/v1/error_pb.js";
import { BadRequestSchema } from "../gen/google/rpc/error_details_pb.js";
import { type Status, StatusSchema } from "../gen/google/rpc/status_pb.js";
import type { Logger } from "../observe/logger.ts";

/** Trailers larger than about 16 KiB in all are refused by gRPC's C clients; base64 makes a third more of the details. */
const MAX_MESSAGE_BYTES = 2048;
const MAX_DETAIL_BYTES = 8192;

/** A refusal of a protocol that is not berth's own, such as grpc.health.v1. */
export class ProtocolError extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.name = "ProtocolError";
    this.code = code;
  }
}

/** Maps anything thrown to a gRPC status with google.rpc.Status details. What berthd did not foresee is logged, and its text stays here. */
export function toStatus(thrown: unknown, logger: Logger): StatusObject {
  if (thrown instanceof ProtocolError) return { code: thrown.code, details: thrown.message, metadata: new Metadata() };
  const error = thrown instanceof BerthError ? thrown : unforeseen(thrown);
  if (error.reason === "Internal") logger.error({ err: error.detail.cause ?? error }, error.message);
  const metadata = new Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, fitting(error))));
  // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- the table holds the numbers, so that it needs no gRPC
  return { code: error.kind.grpc, details: cut(error.message, MAX_MESSAGE_BYTES), metadata };
}

function unforeseen(cause: unknown): BerthError {
  return new BerthError("Internal", "internal error; berthd's log has more", { cause });
}

/** The fullest status that fits into trailers: first the copy for standard clients goes, then the log tail, then violations from the end. */
function fitting(error: BerthError): Status {
  const { violations = [], logTail = "" } = error.detail;
  const candidates = [
    () => statusOf(error, violations, violations, logTail),
    () => statusOf(error, violations, [], logTail),
    () => statusOf(error, violations, [], logTail.slice(-2000)),
    () => statusOf(error, violations, [], ""),
  ];
  for (const candidate of candidates) {
    const status = candidate();
    if (fits(status)) return status;
  }
  for (let kept = Math.min(violations.length, 200); kept > 1; kept = Math.floor(kept * 0.8)) {
    const status = statusOf(error, withRest(violations, kept), [], "");
    if (fits(status)) return status;
  }
  return statusOf(error, [], [], "");
}

function fits(status: Status): boolean {
  return toBinary(StatusSchema, status).length <= MAX_DETAIL_BYTES;
}

function withRest(violations: readonly Violation[], kept: number): Violation[] {
  const rest = { field: "", rule: `and ${violations.length - kept} more that do not fit into an answer`, value: "", allowed: "" };
  return [...violations.slice(0, kept), rest];
}

function statusOf(error: BerthError, violations: readonly Violation[], badRequest: readonly Violation[], logTail: string): Status {
  const details = [anyPack(ErrorDetailSchema, errorDetail(error, violations, logTail))];
  if (badRequest.length > 0) {
    const fieldViolations = badRequest.map(({ field, rule, value, allowed }) => ({
      field,
      description: `${rule} (found ${value}; allowed: ${allowed})`,
    }));
    details.push(anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations })));
  }
  return create(StatusSchema, { code: error.kind.grpc, message: cut(error.message, MAX_MESSAGE_BYTES), details });
}

function errorDetail(error: BerthError, violations: readonly Violation[], logTail: string): ErrorDetail {
  return create(ErrorDetailSchema, {
    reason: error.reason,
    stage: error.detail.stage ?? "",
    container: error.detail.container ?? "",
    retryable: error.kind.retryable,
    logTail: logTail.toWellFormed(),
    oldestCursor: error.detail.oldestCursor ?? "",
    violations: violations.map(({ field, rule, value, allowed }) => ({
      field: cut(field, 500),
      rule: cut(rule, 500),
      value: cut(value, 200),
      allowed: cut(allowed, 500),
    })),
  });
}

/** At most so many bytes, whole characters only; half a surrogate pair cannot be sent. */
function cut(text: string, bytes: number): string {
  const whole = text.toWellFormed();
  const buffer = Buffer.from(whole);
  if (buffer.length <= bytes) return whole;
  return `${buffer
    .subarray(0, bytes - 3)
    .toString("utf8")
    .replace(/\uFFFD+$/, "")}...`;
}
