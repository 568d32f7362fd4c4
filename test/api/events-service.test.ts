import { setTimeout as sleep } from "node:timers/promises";
import type { MessageShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { refusalOf } from "../../src/api/client.ts";
import type { Event, EventsWatchResponseSchema } from "../../src/gen/berth/v1/events_pb.js";
import { ContainerState, SandboxState } from "../../src/gen/berth/v1/sandbox_pb.js";
import { newRecord, type SandboxRecord } from "../../src/sandbox/record.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { startServer } from "./fixture.ts";

type Api = Awaited<ReturnType<typeof startServer>>;
interface Request {
  start?: { case: "cursor"; value: string } | { case: "snapshot"; value: boolean } | { case: "since"; value: { seconds: bigint } };
  namespace?: string;
  name?: string;
  sandboxId?: string;
  kinds?: string[];
}

function record(name: string, namespace = "default"): SandboxRecord {
  const spec = { containers: [{ name: "app", image: "oci:/x", args: ["x".repeat(1000)] }] };
  return newRecord(parseSandboxRequest({ metadata: { name, namespace }, spec }), "", new Date("2026-01-01T00:00:00Z"));
}

async function answers(api: Api, request: Request): Promise<MessageShape<typeof EventsWatchResponseSchema>[]> {
  const all: MessageShape<typeof EventsWatchResponseSchema>[] = [];
  for await (const answer of api.events.watch({ untilNow: true, ...request })) all.push(answer);
  return all;
}

const OLDEST: Request = { start: { case: "since", value: { seconds: 0n } } };

async function events(api: Api, request: Request = {}): Promise<Event[]> {
  return (await answers(api, { ...OLDEST, ...request })).flatMap((answer) => answer.events);
}

async function refusal(api: Api, request: Request) {
  return refusalOf(await answers(api, request).catch((error: unknown) => error));
}

test("every field of an event crosses the wire, and the end of a sandbox with its containers", async () => {
  await using api = await startServer();
  const one = record("one", "team");
  const operation = { id: "1", step: "begin", args: {}, requestId: "", startedAt: "2026-01-01T00:00:00Z" };
  one.operation = { ...operation, verb: "create" };
  api.journal.save(one);
  delete one.operation;
  Object.assign(one.containers[0]!, { state: "RUNNING", startedAt: "2026-01-01T00:00:01.000Z" });
  Object.assign(one, { state: "RUNNING", generation: 2 });
  api.journal.save(one);
  Object.assign(one.containers[0]!, { state: "EXITED", exitCode: 0, reason: "Completed", finishedAt: "2026-01-01T00:00:02.000Z" });
  Object.assign(one, { state: "DELETING", reason: "Why", message: "because" });
  one.operation = { ...operation, verb: "delete" };
  api.journal.remove(one);
  const [created, started, running, exited, , deleted] = await events(api);
  const about = { namespace: "team", name: "one", sandboxId: one.id, principal: "" };
  expect(created).toMatchObject({ ...about, kind: "sandbox.created", sandboxState: SandboxState.PENDING, operation: "create" });
  expect(created).toMatchObject({ generation: 1n, resourceVersion: "1", cursor: api.journal.cursor(1), container: "" });
  expect(Math.abs(Number(created?.time?.seconds) - Date.now() / 1000)).toBeLessThan(60);
  expect(started).toMatchObject({ ...about, kind: "container.started", container: "app", containerState: ContainerState.RUNNING });
  expect(started).toMatchObject({ sandboxState: SandboxState.UNSPECIFIED, generation: 2n, resourceVersion: "2" });
  expect(started?.exitCode).toBeUndefined();
  expect(running).toMatchObject({ kind: "sandbox.state", sandboxState: SandboxState.RUNNING });
  expect(exited).toMatchObject({ kind: "container.exited", container: "app", exitCode: 0, reason: "Completed", operation: "delete" });
  expect(deleted).toMatchObject({ kind: "sandbox.deleted", reason: "Why", message: "because", operation: "delete" });
  expect(deleted?.end).toMatchObject({
    state: SandboxState.DELETING,
    reason: "Why",
    pause: { name: "pause", state: ContainerState.WAITING },
    containers: [{ name: "app", id: one.containers[0]!.id, state: ContainerState.EXITED, exitCode: 0, image: "oci:/x" }],
  });
});

test("a snapshot and what follows it, with cursors to go on from", async () => {
  await using api = await startServer();
  const all = Array.from({ length: 120 }, (_, index) => record(`s${index}`));
  for (const each of all) api.journal.save(each);
  const seen = await answers(api, { start: { case: "snapshot", value: true } });
  const sandboxes = seen.flatMap((answer) => answer.sandboxes);
  expect(sandboxes.map(({ metadata }) => metadata?.id)).toEqual(all.map(({ id }) => id).toSorted());
  expect(sandboxes[0]?.spec?.containers[0]?.args).toEqual(["x".repeat(1000)]);
  expect(seen.length).toBeGreaterThan(2);
  const cursors = seen.map(({ cursor }) => cursor);
  expect(new Set(cursors.slice(0, -1))).toEqual(new Set([""]));
  expect(cursors.at(-1)).toBe(api.journal.cursor(120));
  all[0]!.state = "RUNNING";
  api.journal.save(all[0]!);
  const cursor = { case: "cursor" as const, value: cursors.at(-1) ?? "" };
  expect((await events(api, { start: cursor })).map(({ name, kind }) => `${kind} ${name}`)).toEqual(["sandbox.state s0"]);
});

test("filters by namespace, name, id and kind", async () => {
  await using api = await startServer();
  const [one, other] = [record("one"), record("one", "team")];
  api.journal.save(one);
  api.journal.save(other);
  one.state = "RUNNING";
  api.journal.save(one);
  const numbers = async (request: Request): Promise<string[]> =>
    (await events(api, request)).map(({ cursor }) => cursor.split("-")[1] ?? "");
  expect(await numbers({})).toEqual(["1", "2", "3"]);
  expect(await numbers({ namespace: "team" })).toEqual(["2"]);
  expect(await numbers({ name: "one", namespace: "default" })).toEqual(["1", "3"]);
  expect(await numbers({ sandboxId: other.id })).toEqual(["2"]);
  expect(await numbers({ kinds: ["sandbox.state", "sandbox.deleted"] })).toEqual(["3"]);
});

test("refuses what it cannot know, every fault at once; a cursor of what is gone gets OUT_OF_RANGE with the oldest one", async () => {
  await using api = await startServer();
  const start = { case: "snapshot" as const, value: false };
  const found = await refusal(api, { start, sandboxId: "abc", kinds: ["sandbox.state", "sandbox.sate"] });
  expect(found).toMatchObject({ code: "INVALID_ARGUMENT", reason: "InvalidRequest" });
  expect(found?.violations.map(({ field }) => field)).toEqual(["snapshot", "sandboxId", "kinds[1]"]);
  expect(found?.violations[2]).toMatchObject({ value: '"sandbox.sate"', allowed: expect.stringContaining("container.exited") as string });
  for (const seconds of [-1n, 2n ** 62n])
    expect((await refusal(api, { start: { case: "since", value: { seconds } } }))?.violations[0]).toMatchObject({ field: "since" });
  expect((await refusal(api, { start: { case: "cursor", value: "x" } }))?.violations[0]).toMatchObject({ field: "cursor", value: '"x"' });
  expect(await refusal(api, { start: { case: "cursor", value: "0123456789ab-5" } })).toMatchObject({
    code: "OUT_OF_RANGE",
    reason: "CursorGone",
    retryable: false,
    oldestCursor: api.journal.cursor(0),
  });
});

test("watchers who wait hear of each commit; a batch that is large comes in several answers, none lost", async () => {
  await using api = await startServer();
  const watchers = Array.from({ length: 5 }, async () => {
    const seen: Event[] = [];
    for await (const answer of api.events.watch({ start: { case: "cursor", value: api.journal.cursor(0) } })) {
      expect(answer.events.length).toBeLessThan(200);
      seen.push(...answer.events);
      expect(answer.cursor).toBe(seen.at(-1)?.cursor ?? api.journal.cursor(0));
      if (seen.length >= 452) return seen;
    }
    return seen;
  });
  const one = record("one");
  const told = Array.from({ length: 450 }, (_, index) => ({ kind: "image.used" as const, message: `${index} ${"m".repeat(2000)}` }));
  api.journal.save(one);
  await sleep(50);
  one.state = "RUNNING";
  api.journal.save(one, { events: told });
  for (const seen of await Promise.all(watchers))
    expect(seen.map(({ cursor }) => cursor)).toEqual(Array.from({ length: 452 }, (_, index) => api.journal.cursor(index + 1)));
});

test("one who does not read holds up nobody, and gets everything when he does", async () => {
  await using api = await startServer();
  const slow = api.events.watch({ start: { case: "cursor", value: api.journal.cursor(0) } })[Symbol.asyncIterator]();
  await slow.next();
  const message = "m".repeat(10_000);
  const one = record("one");
  for (let saves = 1; saves <= 100; saves++) {
    one.reason = String(saves);
    api.journal.save(one, { events: Array.from({ length: 20 }, () => ({ kind: "image.used" as const, message })) });
    await sleep(1);
  }
  let last = 0;
  while (last < api.journal.newest) {
    const { value } = (await slow.next()) as IteratorResult<MessageShape<typeof EventsWatchResponseSchema>, undefined>;
    for (const { cursor } of value?.events ?? []) expect(cursor).toBe(api.journal.cursor(++last));
  }
  await slow.return?.(undefined);
});
