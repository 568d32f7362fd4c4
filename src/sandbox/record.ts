import { randomBytes } from "node:crypto";
import { constants } from "node:os";
import { isDeepStrictEqual } from "node:util";
import type { EnforcementEntry } from "../bundle/enforcement.ts";
import { PAUSE_NAME } from "../bundle/pause.ts";
import { BerthError } from "../errors.ts";
import type { ProcessIdentity } from "../host/processes.ts";
import { type Defaulted, withoutDefaults } from "../policy/defaults.ts";
import type { ResolvedRuntime } from "../runtime/runtime.ts";
import type { SandboxRequest, SandboxSpec } from "./spec.ts";

export type SandboxState = "PENDING" | "CREATING" | "RUNNING" | "PAUSED" | "COMPLETED" | "STOPPING" | "STOPPED" | "FAILED" | "DELETING";
export type ContainerState = "WAITING" | "CREATED" | "RUNNING" | "EXITED" | "UNKNOWN";

/** What is done to a sandbox; "complete" is the end that it comes to by itself, "restart" runs one app of it again. */
export type Verb = "create" | "start" | "stop" | "pause" | "resume" | "delete" | "complete" | "restart";

export interface OperationArgs {
  /** Stop, delete: when apps that are still there are killed; ISO 8601. */
  graceUntil?: string;
  /** Stop, delete: it was paused. */
  frozen?: boolean;
  /** Create: a caller was answered before the end, so a failure leaves the sandbox FAILED where it would else be undone. */
  answered?: boolean;
  /** Create, start: an app may have been started, so it is not made twice. */
  mayHaveRun?: boolean;
  /** How often a restarted berthd went on with it. */
  attempts?: number;
  /** Stop: what ends the sandbox where no caller does. */
  because?: "DeadlineExceeded" | "LeaseExpired";
  /** Restart: name of the app. */
  container?: string;
}

/** One run of a verb on a sandbox. Times are ISO 8601. */
export interface OperationRecord {
  readonly id: string;
  readonly verb: Verb;
  readonly args: OperationArgs;
  /** Chosen by the caller; empty for none. */
  readonly requestId: string;
  readonly startedAt: string;
  /** The one that was begun last. The journal may have an earlier one: only steps that need it wait for the disk. */
  step: string;
  finishedAt?: string;
  /** Of one that is over: empty, or reason and message of its failure. */
  result?: string;
}

/** What the journal keeps of one container. Times are ISO 8601. */
export interface ContainerRecord {
  name: string;
  id: string;
  state: ContainerState;
  reason: string;
  /** Absent while it runs and when nobody could learn it. */
  exitCode?: number;
  startedAt?: string;
  finishedAt?: string;
  /** Image reference and the digest that it named; absent for pause. */
  image?: string;
  imageDigest?: string;
  /** Chain ids of the layers, lowest first; absent for pause. */
  layers?: string[];
  /** Number of the signal that asks it to end. */
  stopSignal: number;
  /** conmon. */
  monitor?: ProcessIdentity;
  /** The process that conmon watches. */
  process?: ProcessIdentity;
  /** How often it ran again since the sandbox was started; absent for never. */
  restartCount?: number;
  /** Restarts in a row, with the one that it waits for; restarts.ts counts. */
  restartRow?: number;
  /** When it runs again; absent when it does not wait for that. */
  restartAt?: string;
}

/** What the journal keeps of a volume that is an image. */
export interface VolumeRecord {
  name: string;
  imageDigest: string;
  /** Chain ids of the layers, lowest first. */
  layers: string[];
}

export interface StageTiming {
  name: string;
  milliseconds: number;
}

/** What the journal keeps of one sandbox: all that a restarted berthd needs. */
export interface SandboxRecord {
  id: string;
  namespace: string;
  name: string;
  requestId: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** As it was admitted: with the node's defaults. */
  spec: SandboxSpec;
  /** As the caller sent it; absent where the node added nothing. */
  asked?: SandboxSpec;
  /** Fields of the spec that are the node's defaults, and where policy.yaml said them; absent where there are none. */
  defaulted?: Record<string, string>;
  /** What callers want, beside what is. */
  wanted: "running" | "stopped" | "gone";
  state: SandboxState;
  reason: string;
  message: string;
  createdAt: string;
  /** Counts the saves: the journal sets it. */
  resourceVersion: number;
  /** Of what is wanted: 1 when it is new, one more at each start and change of the spec. */
  generation: number;
  /** Of the run that is or was last: when its creation or start began. */
  activeSince?: string;
  startedAt?: string;
  finishedAt?: string;
  /** The time of the lease, once it was renewed. */
  expiresAt?: string;
  /** The one that runs. */
  operation?: OperationRecord;
  /** Real paths of the host paths of the run that is or was last, by name of the volume. */
  hostPaths?: Record<string, string>;
  /** Absent until the runtime class was resolved. */
  runtime?: ResolvedRuntime;
  /** Volumes that are images; absent where there are none, or none was looked for yet. */
  volumes?: VolumeRecord[];
  pause: ContainerRecord;
  containers: ContainerRecord[];
  warnings: string[];
  enforcement: EnforcementEntry[];
  stages: StageTiming[];
}

/** A sandbox that was admitted and of which nothing exists yet. */
export function newRecord(
  asked: SandboxRequest,
  requestId: string,
  now: Date,
  admitted: Defaulted = withoutDefaults(asked),
): SandboxRecord {
  const { request, defaulted } = admitted;
  const container = (name: string): ContainerRecord => ({
    name,
    id: newId(),
    state: "WAITING",
    reason: "",
    stopSignal: constants.signals.SIGTERM,
  });
  const pause = container(PAUSE_NAME);
  return {
    // runsc knows a sandbox by the id of its first container.
    id: pause.id,
    namespace: request.metadata.namespace,
    name: request.metadata.name,
    requestId,
    labels: { ...request.metadata.labels },
    annotations: { ...request.metadata.annotations },
    spec: request.spec,
    ...(defaulted.size === 0 ? {} : { asked: asked.spec, defaulted: Object.fromEntries(defaulted) }),
    wanted: "running",
    state: "PENDING",
    reason: "",
    message: "",
    createdAt: now.toISOString(),
    resourceVersion: 0,
    generation: 1,
    pause,
    containers: request.spec.containers.map(({ name, image }) => ({ ...container(name), image })),
    warnings: [],
    enforcement: [],
    stages: [],
  };
}

/** runsc resolves ids by prefix, so all have one length. */
function newId(): string {
  return randomBytes(16).toString("hex");
}

/** Pause and the apps. */
export function allContainers(record: SandboxRecord): ContainerRecord[] {
  return [record.pause, ...record.containers];
}

export function hasEnded(container: ContainerRecord): boolean {
  return container.state === "EXITED" || container.state === "UNKNOWN";
}

/** What a container keeps of one run, as against what holds for all. */
export const OF_A_RUN = ["exitCode", "startedAt", "finishedAt", "monitor", "process"] as const satisfies (keyof ContainerRecord)[];

/** The container that a caller means; throws ContainerNotFound with the names there are. */
export function containerName(record: SandboxRecord, wanted: string): string {
  const names = [...record.containers.map((container) => container.name), record.pause.name];
  if (wanted !== "" && names.includes(wanted)) return wanted;
  const only = record.containers.length === 1 ? record.containers[0]?.name : undefined;
  if (wanted === "" && only !== undefined) return only;
  const said = wanted === "" ? "has several containers, name one" : `has no container ${JSON.stringify(wanted)}`;
  throw new BerthError("ContainerNotFound", `sandbox ${record.namespace}/${record.name} ${said}: ${names.join(", ")}`);
}

/**
 * Whether the sandbox came of the same request: as it was asked for, whatever the node's policy was then and is now. As JSON says it,
 * whatever the order of keys: the record may have been in the journal.
 */
export function isSameWish({ namespace, name, labels, annotations, spec, asked = spec }: SandboxRecord, request: SandboxRequest): boolean {
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
  const wish = { ...request.metadata, spec: request.spec };
  return isDeepStrictEqual(plain({ namespace, name, labels, annotations, spec: asked }), plain(wish));
}
