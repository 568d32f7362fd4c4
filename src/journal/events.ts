/** What the journal tells those who watch, and what of it a save says by itself. Pure. */

import type { EventKind } from "../sandbox/event-kinds.ts";
import type { ContainerRecord, ContainerState, SandboxRecord, SandboxState } from "../sandbox/record.ts";

/** What happened, beside what the journal knows by itself: number, time, and whom it is about. */
export interface NewEvent {
  readonly kind: EventKind;
  readonly container?: string;
  /** Of the sandbox, or of the container when one is named. */
  readonly state?: SandboxState | ContainerState;
  /** One word. */
  readonly reason?: string;
  /** For people. */
  readonly message?: string;
  readonly exitCode?: number;
  /** With sandbox.deleted. */
  readonly end?: SandboxEnd;
}

/** How a sandbox ended. Times are ISO 8601. */
export type SandboxEnd = Pick<SandboxRecord, "state" | "reason" | "message" | "startedAt" | "finishedAt"> & {
  readonly pause: ContainerEnd;
  readonly containers: readonly ContainerEnd[];
};

/** What of a container is of interest when it is gone. */
export type ContainerEnd = Omit<ContainerRecord, "monitor" | "process" | "layers" | "stopSignal">;

/** An event as it is in the journal. */
export interface JournalEvent extends NewEvent {
  /** Larger than that of every event before. */
  readonly seq: number;
  /** The same for callers: names the journal too, so that a cursor of one that was lost is known as such. */
  readonly cursor: string;
  /** ISO 8601; when it was written. */
  readonly time: string;
  /** Empty, as the two that follow, when it is about the node. */
  readonly sandboxId: string;
  readonly namespace: string;
  readonly name: string;
  /** Of the sandbox; 0, as the next one, when it is about the node. */
  readonly generation: number;
  /** Of the sandbox, with this event. */
  readonly resourceVersion: number;
  /** Verb of the operation that did it; empty when none did. */
  readonly operation: string;
}

/** What changed between two saves of a sandbox, oldest first; `told` is what else the caller has to say of the change. */
export function changes(before: SandboxRecord | undefined, after: SandboxRecord, told: readonly NewEvent[]): NewEvent[] {
  const moved = before !== undefined && (before.state !== after.state || before.reason !== after.reason);
  const earlier = new Map(before ? [before.pause, ...before.containers].map((container) => [container.name, container]) : []);
  return [
    ...(before ? [] : [sandboxEvent("sandbox.created", after)]),
    // What led to an end comes before it.
    ...told,
    ...[after.pause, ...after.containers].flatMap((container) => containerChanges(earlier.get(container.name), container)),
    ...(moved ? [sandboxEvent("sandbox.state", after)] : []),
  ];
}

/** What is said last of a sandbox. */
export function deleted(record: SandboxRecord): NewEvent {
  const { state, reason, message, startedAt, finishedAt } = record;
  const end = { state, reason, message, ...given({ startedAt, finishedAt }) };
  return {
    ...sandboxEvent("sandbox.deleted", record),
    end: { ...end, pause: endOf(record.pause), containers: record.containers.map(endOf) },
  };
}

function sandboxEvent(kind: EventKind, { state, reason, message }: SandboxRecord): NewEvent {
  return { kind, state, reason, message };
}

const CONTAINER_KINDS: Readonly<Record<ContainerState, EventKind>> = {
  WAITING: "container.waiting",
  CREATED: "container.created",
  RUNNING: "container.started",
  EXITED: "container.exited",
  UNKNOWN: "container.unknown",
};

function containerChanges(before: ContainerRecord | undefined, after: ContainerRecord): NewEvent[] {
  const { name: container, state, reason, exitCode, image, imageDigest } = after;
  const used = imageDigest !== undefined && imageDigest !== before?.imageDigest;
  const started = after.startedAt !== undefined && after.startedAt !== before?.startedAt;
  const ended = after.finishedAt !== undefined && after.finishedAt !== before?.finishedAt;
  const moved = state !== (before?.state ?? "WAITING");
  const kind = CONTAINER_KINDS[state];
  const events: NewEvent[] = [];
  if (used) events.push({ kind: "image.used", container, message: `${image} is ${imageDigest}` });
  // Two saves may have more than one change between them: a start is told also when the end is known already.
  if (started) events.push({ kind: "container.started", container, state: "RUNNING" });
  if (state === "EXITED" || state === "UNKNOWN") {
    if (ended || moved) events.push({ kind, container, state, reason, ...given({ exitCode }) });
  } else if (moved && state !== "RUNNING") {
    events.push({ kind, container, state, reason });
  }
  return events;
}

function endOf({ monitor: _monitor, process: _process, layers: _layers, stopSignal: _signal, ...end }: ContainerRecord): ContainerEnd {
  return end;
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the fields that are not set. */
function given<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
}
