/** Answers: from records to messages. Pure. */

import { create } from "@bufbuild/protobuf";
import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { EnforcementEntry } from "../bundle/enforcement.ts";
import type { Origin as OriginEntry } from "../bundle/explain.ts";
import { type NodeInfoResponse, NodeInfoResponseSchema } from "../gen/berth/v1/node_pb.js";
import {
  ContainerState,
  type ContainerStatus,
  ContainerStatusSchema,
  type Sandbox,
  SandboxSchema,
  SandboxState,
} from "../gen/berth/v1/sandbox_pb.js";
import {
  type Bundle,
  BundleSchema,
  type LogEntry,
  LogEntrySchema,
  LogStream,
  type Origin,
  OriginKind,
  OriginSchema,
  type SandboxesRenderResponse,
  SandboxesRenderResponseSchema,
} from "../gen/berth/v1/sandboxes_pb.js";
import type { ContainerEnd } from "../journal/events.ts";
import type { LogRecord } from "../monitor/logs.ts";
import type { NodeInfo } from "../observe/inventory.ts";
import type { ResolvedRuntime } from "../runtime/runtime.ts";
import type { OperationRecord, SandboxRecord } from "../sandbox/record.ts";
import { leaseOf } from "../sandbox/deadlines.ts";
import { specMessage } from "./wire.ts";

export function sandboxMessage(record: SandboxRecord): Sandbox {
  return create(SandboxSchema, {
    metadata: {
      namespace: record.namespace,
      name: record.name,
      id: record.id,
      labels: record.labels,
      annotations: record.annotations,
      ...at("createdAt", record.createdAt),
      resourceVersion: String(record.resourceVersion),
      generation: BigInt(record.generation),
    },
    spec: specMessage(record.spec),
    status: {
      state: SandboxState[record.state],
      reason: record.reason,
      message: record.message,
      ...at("startedAt", record.startedAt),
      ...at("finishedAt", record.finishedAt),
      containers: record.containers.map(containerMessage),
      pause: containerMessage(record.pause),
      ...(record.runtime ? { runtime: runtimeMessage(record.runtime) } : {}),
      warnings: record.warnings,
      enforcement: record.enforcement.map(enforcementMessage),
      ...at("expiresAt", leaseOf(record)),
      ...(record.operation ? { operation: operationMessage(record.operation) } : {}),
      volumes: (record.volumes ?? []).map(({ name, imageDigest }) => ({ name, imageDigest })),
      stages: record.stages.map(({ name, milliseconds }) => ({ name, duration: durationOf(milliseconds) })),
    },
  });
}

function operationMessage({ verb, step, startedAt }: OperationRecord) {
  return { verb, step, ...at("startedAt", startedAt) };
}

/** Of a container that is there, or of one that was. */
export function containerMessage(record: ContainerEnd): ContainerStatus {
  return create(ContainerStatusSchema, {
    name: record.name,
    id: record.id,
    state: ContainerState[record.state],
    reason: record.reason,
    ...(record.exitCode === undefined ? {} : { exitCode: record.exitCode }),
    ...at("startedAt", record.startedAt),
    ...at("finishedAt", record.finishedAt),
    image: record.image ?? "",
    imageDigest: record.imageDigest ?? "",
    restartCount: record.restartCount ?? 0,
  });
}

function runtimeMessage({ className, adapter, version, digest, platform }: ResolvedRuntime) {
  return { className, adapter, version, binaryDigest: digest, platform };
}

function enforcementMessage({ container, property, requested, enforced, mechanism, note }: EnforcementEntry) {
  return { container, property, requested, enforced, mechanism, note };
}

interface ExplainedBundle {
  readonly container: string;
  readonly configJson: string;
  readonly provenance: readonly OriginEntry[];
}

interface Rendered {
  readonly bundles: readonly ExplainedBundle[];
  readonly enforcement: readonly EnforcementEntry[];
  readonly warnings: readonly string[];
}

export function renderMessage({ bundles, enforcement, warnings }: Rendered): SandboxesRenderResponse {
  return create(SandboxesRenderResponseSchema, {
    bundles: bundles.map(bundleMessage),
    enforcement: enforcement.map(enforcementMessage),
    warnings: [...warnings],
  });
}

export function bundleMessage({ container, configJson, provenance }: ExplainedBundle): Bundle {
  return create(BundleSchema, { container, configJson, provenance: provenance.map(originMessage) });
}

const ORIGIN_KINDS: Readonly<Record<OriginEntry["kind"], OriginKind>> = {
  default: OriginKind.DEFAULT,
  node: OriginKind.NODE,
  image: OriginKind.IMAGE,
  request: OriginKind.REQUEST,
  runtime: OriginKind.RUNTIME,
  placement: OriginKind.PLACEMENT,
};

function originMessage({ pointer, kind, source }: OriginEntry): Origin {
  return create(OriginSchema, { pointer, kind: ORIGIN_KINDS[kind], source });
}

export function nodeMessage({ memoryBytes, runtimeClasses, ...info }: NodeInfo, draining: boolean): NodeInfoResponse {
  const classes = runtimeClasses.map(({ digest, ...runtimeClass }) => ({ ...runtimeClass, binaryDigest: digest }));
  return create(NodeInfoResponseSchema, { ...info, memoryBytes: BigInt(memoryBytes), runtimeClasses: classes, draining });
}

export function logMessage({ time, stream, partial, data }: LogRecord): LogEntry {
  return create(LogEntrySchema, { ...at("time", time), stream: stream === "stdout" ? LogStream.STDOUT : LogStream.STDERR, partial, data });
}

/** A field of the name with the time, or nothing when there is none. */
export function at<K extends string>(field: K, time: string | undefined): { [key in K]?: Timestamp } {
  const timestamp = time === undefined ? undefined : timestampOf(time);
  return (timestamp === undefined ? {} : { [field]: timestamp }) as { [key in K]?: Timestamp };
}

/** Reads RFC 3339 with up to nine digits after the point; undefined for anything else. */
export function timestampOf(time: string): Timestamp | undefined {
  const { second, fraction = "", zone } = /^(?<second>[^.]+?)(?:\.(?<fraction>\d{1,9}))?(?<zone>Z|[+-]\d\d:\d\d)$/.exec(time)?.groups ?? {};
  const milliseconds = Date.parse(`${second}${zone}`);
  if (Number.isNaN(milliseconds)) return undefined;
  return create(TimestampSchema, { seconds: BigInt(milliseconds / 1000), nanos: Number(fraction.padEnd(9, "0")) });
}

export function durationOf(milliseconds: number): Duration {
  const nanos = Math.round(milliseconds * 1e6);
  return create(DurationSchema, { seconds: BigInt(Math.floor(nanos / 1e9)), nanos: nanos % 1e9 });
}
