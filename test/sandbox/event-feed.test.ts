import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { JournalEvent } from "../../src/journal/events.ts";
import { Journal } from "../../src/journal/journal.ts";
import { EventFeed, type EventFilter, type WatchBatch, type WatchStart } from "../../src/sandbox/event-feed.ts";
import { newRecord, type SandboxRecord } from "../../src/sandbox/record.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { makeScratch } from "../support/scratch.ts";

const ALL: EventFilter = { kinds: new Set() };
const SMALL = { eventsPage: 3, sandboxesPage: 2, bookmarkMs: 60_000 };

function record(name: string, namespace = "default"): SandboxRecord {
  const document = { metadata: { name, namespace }, spec: { containers: [{ name: "app", image: "oci:/x" }] } };
  return newRecord(parseSandboxRequest(document), "", new Date("2026-01-01T00:00:00Z"));
}

function openJournal() {
  const scratch = makeScratch();
  const journal = new Journal(join(scratch.path, "journal.db"));
  return {
    journal,
    [Symbol.dispose]() {
      journal.close();
      scratch[Symbol.dispose]();
    },
  };
}

/** All that is told until there is no more. */
async function told(feed: EventFeed, start: WatchStart, filter = ALL): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  for await (const batch of feed.watch(start, filter, true, new AbortController().signal)) batches.push(batch);
  return batches;
}

const eventsOf = (batches: readonly WatchBatch[]): JournalEvent[] => batches.flatMap(({ events }) => [...events]);

/** One who watches, is cut off now and then, and comes back with the last cursor. */
class Watcher {
  readonly events: JournalEvent[] = [];
  readonly sandboxes = new Map<string, SandboxRecord>();
  readonly #feed: () => EventFeed;
  #start: WatchStart;
  #stream: AsyncGenerator<WatchBatch> | undefined;
  #hangUp = new AbortController();

  constructor(feed: () => EventFeed, start: WatchStart) {
    this.#feed = feed;
    this.#start = start;
  }

  /** Takes at most one batch. */
  async read(untilNow = false): Promise<boolean> {
    if (!this.#stream) {
      this.#hangUp = new AbortController();
      this.#stream = this.#feed().watch(this.#start, ALL, untilNow, this.#hangUp.signal);
    }
    const { value } = (await this.#stream.next()) as IteratorResult<WatchBatch, undefined>;
    if (!value) return false;
    for (const sandbox of value.sandboxes) this.sandboxes.set(sandbox.id, sandbox);
    this.events.push(...value.events);
    if (value.cursor !== undefined) this.#start = { cursor: value.cursor };
    return true;
  }

  async hangUp(): Promise<void> {
    this.#hangUp.abort();
    await this.#stream?.return(undefined);
    this.#stream = undefined;
    // Without a cursor it starts over, and so does what it knows.
    if (this.#start === "snapshot") {
      this.events.length = 0;
      this.sandboxes.clear();
    }
  }

  async finish(): Promise<void> {
    await this.hangUp();
    while (await this.read(true));
    await this.hangUp();
  }
}

describe("nothing is missed and nothing comes twice", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ act: fc.constant("save" as const), sandbox: fc.nat(5) }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant("remove" as const), sandbox: fc.nat(5) }) },
    { weight: 6, arbitrary: fc.record({ act: fc.constant("read" as const), watcher: fc.nat(2) }) },
    { weight: 2, arbitrary: fc.record({ act: fc.constant("hangUp" as const), watcher: fc.nat(2) }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant("restart" as const) }) },
  );

  test("whatever is saved, removed, read and cut off in whatever order, also over restarts", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (steps) => {
        using scratch = makeScratch();
        const path = join(scratch.path, "journal.db");
        let journal = new Journal(path);
        const feed = (): EventFeed => new EventFeed(journal, SMALL);
        const names = Array.from({ length: 6 }, (_, index) => `s${index}`);
        const records = new Map(names.map((name) => [name, record(name)]));
        // Some are there before anybody watches.
        for (const name of names.slice(0, 4)) journal.save(records.get(name)!);
        const begun = journal.newest;
        const watchers = [new Watcher(feed, "now"), new Watcher(feed, { cursor: journal.cursor(begun) }), new Watcher(feed, "snapshot")];
        // "now" is the moment of the first read.
        await watchers[0]?.read();
        for (const each of steps) {
          const name = "sandbox" in each ? (names[each.sandbox] ?? "") : "";
          const one = records.get(name);
          const watcher = "watcher" in each ? watchers[each.watcher] : undefined;
          if (each.act === "save" && one) {
            one.state = one.state === "RUNNING" ? "STOPPING" : "RUNNING";
            journal.save(one);
          } else if (each.act === "remove" && one) {
            journal.remove(one);
            records.set(name, record(name));
          } else if (each.act === "read" && watcher) {
            // A read with nothing to read would wait: what comes is read at the end.
            await Promise.race([watcher.read(), new Promise((resolve) => setImmediate(resolve))]);
          } else if (each.act === "hangUp") {
            await watcher?.hangUp();
          } else if (each.act === "restart") {
            for (const cutOff of watchers) await cutOff.hangUp();
            journal.close();
            journal = new Journal(path);
          }
        }
        for (const watcher of watchers) await watcher.finish();
        const all = journal.events(begun, 10_000);
        expect(watchers[0]?.events.map(({ seq }) => seq)).toEqual(all.map(({ seq }) => seq));
        expect(watchers[1]?.events.map(({ seq }) => seq)).toEqual(all.map(({ seq }) => seq));

        const { events, sandboxes } = watchers[2]!;
        expect(events.map(({ seq }) => seq)).toEqual([...new Set(events.map(({ seq }) => seq))].toSorted((a, b) => a - b));
        const state = new Map([...sandboxes].map(([id, { state: known, resourceVersion }]) => [id, { known, resourceVersion }]));
        for (const event of events) {
          if (event.kind === "sandbox.deleted") state.delete(event.sandboxId);
          else if (event.state !== undefined && event.container === undefined) {
            // What the snapshot contains is not told again, and what follows it has no gap.
            expect(event.resourceVersion).toBe((state.get(event.sandboxId)?.resourceVersion ?? 0) + 1);
            state.set(event.sandboxId, { known: event.state as SandboxRecord["state"], resourceVersion: event.resourceVersion });
          }
        }
        const now = journal.load().map(({ id, state: known, resourceVersion }) => [id, { known, resourceVersion }] as const);
        expect(Object.fromEntries(state)).toEqual(Object.fromEntries(now));
        journal.close();
      }),
      { numRuns: 50 },
    );
  });
});

describe("a watch", () => {
  test("begins where it is asked to: after a cursor, at a time, with a snapshot, or now", async () => {
    using opened = openJournal();
    const { journal } = opened;
    const feed = new EventFeed(journal);
    for (const name of ["a", "b", "c"]) journal.save(record(name));
    const named = async (start: WatchStart): Promise<string[]> => eventsOf(await told(feed, start)).map(({ name }) => name);
    expect(await named({ since: "1970-01-01T00:00:00.000Z" })).toEqual(["a", "b", "c"]);
    expect(await named({ cursor: journal.cursor(2) })).toEqual(["c"]);
    const { time } = journal.events(2, 1)[0]!;
    expect(await named({ since: time })).toContain("c");
    expect(await named({ since: "9999-01-01T00:00:00.000Z" })).toEqual([]);
    expect(await named("now")).toEqual([]);
    const [page, last] = await told(feed, "snapshot");
    expect(page?.sandboxes.map(({ name }) => name).toSorted()).toEqual(["a", "b", "c"]);
    expect(last).toEqual({ sandboxes: [], events: [], cursor: journal.cursor(3) });
  });

  test("tells only what the filter lets through, of a snapshot too", async () => {
    using opened = openJournal();
    const { journal } = opened;
    const feed = new EventFeed(journal);
    const [one, two, other] = [record("one"), record("two"), record("one", "team")];
    for (const each of [one, two, other]) journal.save(each);
    one.state = "RUNNING";
    journal.save(one);
    const numbers = async (filter: Partial<EventFilter>): Promise<number[]> =>
      eventsOf(await told(feed, { cursor: journal.cursor(0) }, { kinds: new Set(), ...filter })).map(({ seq }) => seq);
    expect(await numbers({ namespace: "default" })).toEqual([1, 2, 4]);
    expect(await numbers({ name: "one" })).toEqual([1, 3, 4]);
    expect(await numbers({ sandboxId: two.id })).toEqual([2]);
    expect(await numbers({ kinds: new Set(["sandbox.state"]) })).toEqual([4]);
    expect(await numbers({ namespace: "team", kinds: new Set(["sandbox.state"]) })).toEqual([]);
    const snapshot = await told(feed, "snapshot", { namespace: "team", kinds: new Set(["sandbox.state"]) });
    expect(snapshot.flatMap(({ sandboxes }) => sandboxes)).toEqual([other]);
  });

  test("gives a cursor as soon as the snapshot is whole, also when what came meanwhile is in it", async () => {
    using opened = openJournal();
    const { journal } = opened;
    const ids = Array.from({ length: 4 }, (_, index) => record(`s${index}`)).toSorted((a, b) => (a.id < b.id ? -1 : 1));
    for (const each of ids) journal.save(each);
    const watch = new EventFeed(journal, SMALL).watch("snapshot", ALL, false, new AbortController().signal);
    await watch.next();
    ids[3]!.state = "RUNNING";
    journal.save(ids[3]!);
    expect((await watch.next()).value).toEqual({ sandboxes: [ids[2], ids[3]], events: [] });
    expect((await watch.next()).value).toEqual({ sandboxes: [], events: [] });
    expect((await watch.next()).value).toEqual({ sandboxes: [], events: [], cursor: journal.cursor(5) });
    await watch.return(undefined);
  });

  test("is refused with the oldest cursor when events after its own are gone, and when its journal is", async () => {
    using scratch = makeScratch();
    const path = join(scratch.path, "journal.db");
    const journal = new Journal(path);
    const feed = new EventFeed(journal);
    const one = record("one");
    for (let saves = 0; saves < 5; saves++) {
      one.reason = String(saves);
      journal.save(one);
    }
    const late = feed.watch({ cursor: journal.cursor(1) }, ALL, false, new AbortController().signal);
    await late.next();
    journal.compact(Date.now() + 2 * 3_600_000);
    one.reason = "new";
    journal.save(one);
    const oldestCursor = journal.cursor(5);
    const gone = { reason: "CursorGone", detail: { oldestCursor } };
    await expect(late.next()).rejects.toMatchObject(gone);
    await expect(told(feed, { cursor: journal.cursor(4) })).rejects.toMatchObject(gone);
    expect(eventsOf(await told(feed, { cursor: oldestCursor })).map(({ reason }) => reason)).toEqual(["new"]);
    for (const lost of ["0123456789ab-1", journal.cursor(7)])
      await expect(told(feed, { cursor: lost })).rejects.toMatchObject({ reason: "CursorGone" });
    for (const wrong of ["", "7", `${oldestCursor}0000000000000000`, "x-1"])
      await expect(told(feed, { cursor: wrong })).rejects.toMatchObject({ reason: "InvalidRequest" });
    // The same holds after a restart, when every event is gone as well.
    journal.compact(Date.now() + 2 * 3_600_000);
    journal.close();
    const again = new Journal(path);
    expect([again.newest, again.compacted]).toEqual([6, 6]);
    expect(await told(new EventFeed(again), { cursor: again.cursor(6) })).toMatchObject([{ cursor: again.cursor(6) }]);
    await expect(told(new EventFeed(again), { cursor: oldestCursor })).rejects.toMatchObject({ reason: "CursorGone" });
    again.close();
  });

  test("keeps the cursor of an idle or filtering watcher new", async () => {
    using opened = openJournal();
    const { journal } = opened;
    const feed = new EventFeed(journal, { ...SMALL, bookmarkMs: 10 });
    const watch = feed.watch("now", { namespace: "other", kinds: new Set() }, false, new AbortController().signal);
    expect((await watch.next()).value).toMatchObject({ cursor: journal.cursor(0) });
    journal.save(record("one"));
    const next: WatchBatch[] = [];
    while (next.at(-1)?.cursor !== journal.cursor(1)) next.push((await watch.next()).value as WatchBatch);
    expect(next.flatMap(({ events }) => [...events])).toEqual([]);
    await watch.return(undefined);
  });

  test("ends with its signal, while it waits and before", async () => {
    using opened = openJournal();
    const hangUp = new AbortController();
    const watch = new EventFeed(opened.journal).watch("now", ALL, false, hangUp.signal);
    await watch.next();
    const waiting = watch.next();
    hangUp.abort();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect(opened.journal.commits.listenerCount("commit")).toBe(0);
  });

  test("of many shares what is read: the newest events are the same objects for all", async () => {
    using opened = openJournal();
    const { journal } = opened;
    const feed = new EventFeed(journal);
    journal.save(record("one"));
    const [first, second] = [await told(feed, { cursor: journal.cursor(0) }), await told(feed, { cursor: journal.cursor(0) })];
    expect(eventsOf(first)[0]).toBe(eventsOf(second)[0]);
  });
});
