/** What is there, what is called on it, and what a caller may rely on when berthd is killed or a step fails at a point of it. */

import { RestartPolicy } from "../../../src/gen/berth/v1/sandbox_pb.js";
import { WaitUntil } from "../../../src/gen/berth/v1/sandboxes_pb.js";
import { idOf, seconds, shell, untilWritten } from "../life-support/support.ts";
import type { TestNode } from "../node.ts";

/** Where a sandbox is made. */
export interface Place {
  readonly node: TestNode;
  readonly runtimeClass: string;
}

/** How far an operation has come at a point. */
export type Phase =
  /** It is not in the journal. */
  | "unborn"
  /** Nothing of the sandbox is touched. */
  | "preparing"
  | "open"
  /** The journal says that an app may have been started. */
  | "may have run"
  /** Its end is in the journal. */
  | "over";

/** A state, with its reason where it is FAILED; "nothing" when there is no sandbox. */
type End = string;

export interface Situation {
  readonly name: string;
  readonly verb: string;
  /** Of the sandbox that it makes; "" where it makes none. */
  readonly before: (place: Place) => Promise<string>;
  readonly call: (place: Place, id: string) => Promise<unknown>;
  /** A step that fails, so that the points of the undo are passed; those before it are others' to try. */
  readonly failing?: string;
  /** What there is after berthd was killed and started again. */
  readonly killed: (phase: Phase) => End;
  /** What there is after the step failed: what the undo leads to. */
  readonly failed: (phase: Phase, point: string) => End;
}

/** Says so when it is ready and when it is told to end, so that its log shows every run whole. */
const POLITE = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.02; done";
const BRIEF = "echo ready; echo bye; exit 6";
/** Fails once. */
const CLUMSY = `[ -e /tried ] || { echo >/tried; echo ready; echo bye; exit 5; }; ${POLITE}`;

async function create(
  { node, runtimeClass }: Place,
  waitUntil: WaitUntil,
  script = POLITE,
  restartPolicy = RestartPolicy.NEVER,
): Promise<string> {
  const spec = { runtimeClassName: runtimeClass, containers: [shell(node, "app", script)], restartPolicy };
  return idOf((await node.sandboxes.create({ metadata: { name: "one" }, spec, waitUntil })).sandbox);
}

async function running(place: Place): Promise<string> {
  const id = await create(place, WaitUntil.RUNNING);
  await untilWritten(place.node, id, "app", "ready");
  return id;
}

async function stopped(place: Place): Promise<string> {
  const id = await running(place);
  await place.node.sandboxes.stop({ id });
  return id;
}

async function paused(place: Place): Promise<string> {
  const id = await running(place);
  await place.node.sandboxes.pause({ id });
  return id;
}

const nothing = (): Promise<string> => Promise.resolve("");
const start: Situation["call"] = ({ node }, id) => node.sandboxes.start({ id });
const stop: Situation["call"] = ({ node }, id) => node.sandboxes.stop({ id, gracePeriod: seconds(20) });
const pause: Situation["call"] = ({ node }, id) => node.sandboxes.pause({ id });
const resume: Situation["call"] = ({ node }, id) => node.sandboxes.resume({ id });
const remove =
  (grace: number): Situation["call"] =>
  ({ node }, id) =>
    node.sandboxes.delete({ id, gracePeriod: seconds(grace) });

const unlessUnborn =
  (unborn: End, end: End) =>
  (phase: Phase): End =>
    phase === "unborn" ? unborn : end;

const CREATE: Situation = {
  name: "create",
  verb: "create",
  before: nothing,
  call: (place) => create(place, WaitUntil.RUNNING),
  killed: (phase) => (phase === "over" ? "RUNNING" : "nothing"),
  // Where it is the journal that fails, nothing can be forgotten either.
  failed: (_phase, point) => (point === "create/end/before" ? "FAILED Internal" : "nothing"),
};

const START: Situation = {
  name: "start",
  verb: "start",
  before: stopped,
  call: start,
  killed: (phase) => (phase === "unborn" ? "STOPPED" : phase === "may have run" ? "FAILED Interrupted" : "RUNNING"),
  failed: (phase) => (phase === "unborn" || phase === "preparing" ? "STOPPED" : "FAILED Internal"),
};

const STOP: Situation = {
  name: "stop",
  verb: "stop",
  before: running,
  call: stop,
  killed: unlessUnborn("RUNNING", "STOPPED"),
  failed: unlessUnborn("RUNNING", "FAILED StopFailed"),
};

const DELETE: Situation = {
  name: "delete",
  verb: "delete",
  before: running,
  call: remove(20),
  killed: unlessUnborn("RUNNING", "nothing"),
  failed: unlessUnborn("RUNNING", "FAILED DeleteFailed"),
};

/** Killed on the way back, the next berthd finds what it finds when it was killed before; what cannot be undone is FAILED with why it had to be. */
const undone = (situation: Situation, failing: string, end: End, unforgotten = end): Situation => ({
  ...situation,
  name: `${situation.name}, undone`,
  failing: `${situation.verb}/${failing}`,
  killed: (phase) => (phase === "over" ? end : situation.killed("may have run")),
  failed: (_phase, point) => (point.includes("/undo/") ? "FAILED Internal" : unforgotten),
});

export const SITUATIONS: readonly Situation[] = [
  CREATE,
  {
    ...CREATE,
    name: "create, answered before its end",
    call: (place) => create(place, WaitUntil.ACCEPTED),
    killed: (phase) => (phase === "unborn" ? "nothing" : phase === "may have run" ? "FAILED Interrupted" : "RUNNING"),
    failed: unlessUnborn("nothing", "FAILED Internal"),
  },
  undone(CREATE, "app-start app/before", "nothing", "FAILED Internal"),
  START,
  undone(START, "app-start app/before", "FAILED Internal"),
  {
    name: "pause",
    verb: "pause",
    before: running,
    call: pause,
    killed: unlessUnborn("RUNNING", "PAUSED"),
    failed: () => "RUNNING",
  },
  {
    name: "resume",
    verb: "resume",
    before: paused,
    call: resume,
    killed: unlessUnborn("PAUSED", "RUNNING"),
    failed: () => "PAUSED",
  },
  STOP,
  {
    ...STOP,
    name: "stop of a paused one",
    before: paused,
    killed: unlessUnborn("PAUSED", "STOPPED"),
    failed: unlessUnborn("PAUSED", "FAILED StopFailed"),
  },
  undone(STOP, "take-down/before", "FAILED StopFailed"),
  {
    name: "an end of its own",
    verb: "complete",
    before: nothing,
    call: (place) => create(place, WaitUntil.RUNNING, BRIEF),
    killed: () => "COMPLETED",
    // Nobody waits for it, so that it is begun again until it can be.
    failed: unlessUnborn("COMPLETED", "FAILED CleanupFailed"),
  },
  {
    name: "a restart of its app",
    verb: "restart",
    before: nothing,
    call: (place) => create(place, WaitUntil.RUNNING, CLUMSY, RestartPolicy.ON_FAILURE),
    killed: () => "RUNNING",
    // It is tried again after a while.
    failed: () => "RUNNING",
  },
  DELETE,
  {
    ...DELETE,
    name: "delete of a paused one, without grace",
    before: paused,
    call: remove(0),
    killed: unlessUnborn("PAUSED", "nothing"),
    failed: unlessUnborn("PAUSED", "FAILED DeleteFailed"),
  },
  undone(DELETE, "take-down/before", "FAILED DeleteFailed"),
];
