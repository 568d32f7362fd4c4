import type { EnforcementEntry } from "../bundle/enforcement.ts";
import type { ResolvedRuntime } from "../runtime/runtime.ts";
import type { SandboxSpec } from "./spec.ts";

export type { ProcessIdentity } from "../host/processes.ts";

export type SandboxState = "PENDING" | "CREATING" | "RUNNING" | "COMPLETED" | "STOPPING" | "STOPPED" | "FAILED" | "DELETING";
export type ContainerState = "WAITING" | "CREATED" | "RUNNING" | "EXITED" | "UNKNOWN";

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
  /** Signal that asks it to end, such as SIGTERM. */
  stopSignal: string;
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
  spec: SandboxSpec;
  /** What callers want, beside what is. */
  wanted: "running" | "stopped" | "gone";
  state: SandboxState;
  reason: string;
  message: string;
  createdAt: string;
  startedAt?: string;
  finishedAt?: string;
  /** Absent until the runtime class was resolved. */
  runtime?: ResolvedRuntime;
  pause: ContainerRecord;
  containers: ContainerRecord[];
  warnings: string[];
  enforcement: EnforcementEntry[];
  stages: StageTiming[];
}
