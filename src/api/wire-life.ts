/** The fields of a request that are about a sandbox's life: restarts and deadlines from messages and back, and probes, which are refused. Pure. */

import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Container, type Probe, RestartPolicy, type SandboxSpec } from "../gen/berth/v1/sandbox_pb.js";
import type { RestartPolicy as ParsedPolicy, SandboxSpec as ParsedSpec } from "../sandbox/spec.ts";
import { present } from "./present.ts";

/** Any other number is left to the parser, which refuses it by name. */
const RESTART_POLICIES = new Map<RestartPolicy, ParsedPolicy>([
  [RestartPolicy.UNSPECIFIED, "Never"],
  [RestartPolicy.NEVER, "Never"],
  [RestartPolicy.ON_FAILURE, "OnFailure"],
  [RestartPolicy.ALWAYS, "Always"],
]);

export function lifeDocument(spec: SandboxSpec): Record<string, unknown> {
  return {
    restartPolicy: RESTART_POLICIES.get(spec.restartPolicy) ?? spec.restartPolicy,
    activeDeadlineSeconds: numberOf(spec.activeDeadlineSeconds),
    ttlSecondsAfterFinished: numberOf(spec.ttlSecondsAfterFinished),
    terminationGracePeriodSeconds: numberOf(spec.terminationGracePeriodSeconds),
    expiresAt: spec.expiresAt && timeText(spec.expiresAt),
  };
}

/** A time that no calendar has stays a text that the parser refuses. */
export function timeText(time: Parameters<typeof timestampDate>[0]): string {
  const date = timestampDate(time);
  return Number.isNaN(date.getTime()) ? `${time.seconds} seconds` : date.toISOString();
}

/** Larger numbers lose digits here, but not their being too large. */
const numberOf = (value: bigint | undefined): number | undefined => (value === undefined ? undefined : Number(value));

/** The parser refuses them by name. */
export function probeDocuments({ startupProbe, livenessProbe, readinessProbe }: Container): Record<string, unknown> {
  return {
    startupProbe: startupProbe && probeDocument(startupProbe),
    livenessProbe: livenessProbe && probeDocument(livenessProbe),
    readinessProbe: readinessProbe && probeDocument(readinessProbe),
  };
}

function probeDocument(probe: Probe): unknown {
  const { exec, initialDelaySeconds, timeoutSeconds, periodSeconds, successThreshold, failureThreshold } = probe;
  const given = { initialDelaySeconds, timeoutSeconds, periodSeconds, successThreshold, failureThreshold };
  const numbers = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return exec === undefined ? numbers : { exec: { command: exec.command }, ...numbers };
}

/** What a parsed spec says of it, as fields of its message. */
export function lifeMessage(spec: ParsedSpec) {
  const [restartPolicy] =
    [...RESTART_POLICIES].find(([number, name]) => number !== RestartPolicy.UNSPECIFIED && name === spec.restartPolicy) ?? [];
  return present({
    restartPolicy,
    activeDeadlineSeconds: bigOf(spec.activeDeadlineSeconds),
    ttlSecondsAfterFinished: bigOf(spec.ttlSecondsAfterFinished),
    terminationGracePeriodSeconds: bigOf(spec.terminationGracePeriodSeconds),
    expiresAt: spec.expiresAt === undefined ? undefined : timestampFromDate(new Date(spec.expiresAt)),
  });
}

const bigOf = (value: number | undefined): bigint | undefined => (value === undefined ? undefined : BigInt(value));
