import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { show, type Violation } from "../errors.ts";
import {
  type Event,
  Events as EventsDescription,
  EventSchema,
  type EventsWatchRequest,
  type EventsWatchResponse,
  EventsWatchResponseSchema,
} from "../gen/berth/v1/events_pb.js";
import { ContainerState, SandboxState } from "../gen/berth/v1/sandbox_pb.js";
import type { JournalEvent, SandboxEnd } from "../journal/events.ts";
import type { EventFeed, EventFilter, WatchBatch, WatchStart } from "../sandbox/event-feed.ts";
import { EVENT_KINDS, type EventKind } from "../sandbox/event-kinds.ts";
import { encode, Encoded } from "./adapter.ts";
import { at, containerMessage, sandboxMessage } from "./answers.ts";
import { type Service, service } from "./handlers.ts";
import { idViolations, refuse } from "./wire.ts";

/** What the service needs of the heart. */
export type EventsPort = Pick<EventFeed, "watch">;

export function eventsService(events: EventsPort): Service {
  return service(EventsDescription, {
    watch: async function* (request, signal) {
      const { start, filter } = readWatch(request);
      for await (const batch of events.watch(start, filter, request.untilNow, signal)) yield* answers(batch);
    },
  });
}

function readWatch({ start, namespace, name, sandboxId, kinds }: EventsWatchRequest): { start: WatchStart; filter: EventFilter } {
  const [begin, faults] = readStart(start);
  refuse([...faults, ...(sandboxId === "" ? [] : idViolations(sandboxId, "sandboxId")), ...kinds.flatMap(kindViolations)]);
  const about = {
    ...(namespace === "" ? {} : { namespace }),
    ...(name === "" ? {} : { name }),
    ...(sandboxId === "" ? {} : { sandboxId }),
  };
  return { start: begin, filter: { ...about, kinds: new Set(kinds as EventKind[]) } };
}

function readStart(start: EventsWatchRequest["start"]): [WatchStart, Violation[]] {
  switch (start.case) {
    case "cursor":
      return [{ cursor: start.value }, []];
    case "snapshot":
      return [
        "snapshot",
        start.value ? [] : [{ field: "snapshot", rule: "is set to nothing", value: "false", allowed: "true, or leave it out" }],
      ];
    case "since": {
      const since = dateOf(start.value);
      const fault = { field: "since", rule: "is no time", value: `${start.value.seconds}s`, allowed: "a time of the years 1970 to 9999" };
      return since === undefined ? ["now", [fault]] : [{ since }, []];
    }
    case undefined:
      return ["now", []];
  }
}

/** ISO 8601 in UTC with milliseconds, as the journal writes times: they are compared as texts. */
function dateOf({ seconds, nanos }: Timestamp): string | undefined {
  const milliseconds = Number(seconds) * 1000 + nanos / 1e6;
  const valid = milliseconds >= 0 && milliseconds <= Date.UTC(9999, 11, 31);
  return valid ? new Date(milliseconds).toISOString() : undefined;
}

function kindViolations(kind: string, index: number): Violation[] {
  if (Object.hasOwn(EVENT_KINDS, kind)) return [];
  const allowed = Object.keys(EVENT_KINDS).join(", ");
  return [{ field: `kinds[${index}]`, rule: "is not a kind that this berthd knows", value: show(kind), allowed }];
}

/** A message holds about so much. */
const MAX_ANSWER = 64 * 1024;

/** The batch as messages. Encoded messages that follow each other are one message with the lists of all of them. */
function* answers({ sandboxes, events, cursor }: WatchBatch): Generator<Encoded> {
  let parts: Buffer[] = [];
  let size = 0;
  for (const [part, after] of partsOf(sandboxes, events)) {
    parts.push(part);
    size += part.length;
    if (size < MAX_ANSWER) continue;
    yield new Encoded(Buffer.concat([...parts, cursorPart(cursor === undefined ? undefined : after)]));
    parts = [];
    size = 0;
  }
  if (parts.length > 0 || cursor !== undefined) yield new Encoded(Buffer.concat([...parts, cursorPart(cursor)]));
}

/** Each with the cursor to go on from after it. */
function* partsOf(sandboxes: WatchBatch["sandboxes"], events: WatchBatch["events"]): Generator<[Buffer, string?]> {
  for (const record of sandboxes) yield [encodePart({ sandboxes: [sandboxMessage(record)] })];
  for (const event of events) yield [encodedEvent(event), event.cursor];
}

/** Events that many watch are the same objects for all of them. */
const encodedEvents = new WeakMap<JournalEvent, Buffer>();

function encodedEvent(event: JournalEvent): Buffer {
  const known = encodedEvents.get(event);
  if (known) return known;
  const encoded = encodePart({ events: [eventMessage(event)] });
  encodedEvents.set(event, encoded);
  return encoded;
}

const cursorPart = (cursor = ""): Buffer => encodePart({ cursor });

function encodePart(fields: Partial<Pick<EventsWatchResponse, "sandboxes" | "events" | "cursor">>): Buffer {
  return encode(EventsWatchResponseSchema, create(EventsWatchResponseSchema, fields));
}

function eventMessage({ seq: _seq, time, state, exitCode, end, generation, resourceVersion, ...texts }: JournalEvent): Event {
  return create(EventSchema, {
    ...texts,
    ...at("time", time),
    generation: BigInt(generation),
    resourceVersion: String(resourceVersion),
    ...(state === undefined ? {} : stateField(texts.container, state)),
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(end ? { end: endMessage(end) } : {}),
  });
}

function stateField(container: string | undefined, state: NonNullable<JournalEvent["state"]>) {
  return container === undefined
    ? { sandboxState: SandboxState[state as keyof typeof SandboxState] }
    : { containerState: ContainerState[state as keyof typeof ContainerState] };
}

function endMessage({ state, reason, message, startedAt, finishedAt, pause, containers }: SandboxEnd) {
  return {
    state: SandboxState[state],
    reason,
    message,
    ...at("startedAt", startedAt),
    ...at("finishedAt", finishedAt),
    pause: containerMessage(pause),
    containers: containers.map(containerMessage),
  };
}
