/** What those who watch get: what is, and then what changes, without a gap and without a double. */

import { setImmediate as nextTurn } from "node:timers/promises";
import { BerthError, invalidRequest, show } from "../errors.ts";
import type { JournalEvent } from "../journal/events.ts";
import type { Journal } from "../journal/journal.ts";
import type { EventKind } from "./event-kinds.ts";
import type { SandboxRecord } from "./record.ts";

const LIMITS = {
  /** What is read from the journal at once; nothing is queued beyond it for one who reads slowly. */
  eventsPage: 200,
  sandboxesPage: 50,
  /** Of silence, before an idle watcher is given a newer cursor. */
  bookmarkMs: 30_000,
};

export interface EventFilter {
  readonly namespace?: string;
  readonly name?: string;
  readonly sandboxId?: string;
  /** Every kind when there is none. */
  readonly kinds: ReadonlySet<EventKind>;
}

/** Where a watch begins: after a cursor, with a time (ISO 8601 in UTC), with a snapshot, or now. */
export type WatchStart = { readonly cursor: string } | { readonly since: string } | "snapshot" | "now";

/** A part of what is watched. */
export interface WatchBatch {
  /** Of the snapshot. */
  readonly sandboxes: readonly SandboxRecord[];
  readonly events: readonly JournalEvent[];
  /** Where to go on after this batch; absent as long as the snapshot is not whole. */
  readonly cursor?: string;
}

export class EventFeed {
  readonly #journal: Journal;
  readonly #limits: typeof LIMITS;

  constructor(journal: Journal, limits = LIMITS) {
    this.#journal = journal;
    this.#limits = limits;
  }

  /** Ends with the signal, and with `untilNow` after what was there at the call. Throws CursorGone when events that are asked for are no longer there. */
  async *watch(start: WatchStart, filter: EventFilter, untilNow: boolean, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    const snapshot = new Snapshot(this.#journal, this.#limits.sandboxesPage);
    if (start === "snapshot") yield* snapshot.read(filter);
    let position = start === "snapshot" ? snapshot.begun : this.#positionOf(start);
    this.#refuseGone(position);
    const end = untilNow ? this.#journal.newest : Infinity;
    const batch = (events: readonly JournalEvent[]): WatchBatch => ({
      sandboxes: [],
      events,
      ...(position >= snapshot.ended ? { cursor: this.#journal.cursor(position) } : {}),
    });
    yield batch([]);
    while (!signal.aborted && position < end) {
      this.#refuseGone(position);
      const page = this.#journal.events(position, this.#limits.eventsPage);
      const last = page.at(-1);
      if (!last) {
        if (!(await this.#commit(signal)) && !signal.aborted) yield batch([]);
        continue;
      }
      const completes = position < snapshot.ended && last.seq >= snapshot.ended;
      position = last.seq;
      const events = page.filter((event) => matches(event, filter) && !snapshot.contains(event));
      if (events.length > 0 || completes) yield batch(events);
      else await nextTurn();
    }
  }

  #positionOf(start: Exclude<WatchStart, "snapshot">): number {
    if (start === "now") return this.#journal.newest;
    if ("since" in start) return this.#journal.before(start.since);
    const seq = this.#journal.seqOf(start.cursor);
    if (seq === undefined) {
      const allowed = "a cursor that an event or an answer had, unchanged";
      throw invalidRequest([{ field: "cursor", rule: "is no cursor", value: show(start.cursor), allowed }]);
    }
    return seq === "lost" ? this.#gone("is of a journal that is no longer there") : seq;
  }

  #refuseGone(position: number): void {
    if (position < this.#journal.compacted) this.#gone("is too old: events after it are no longer there");
  }

  #gone(why: string): never {
    const oldestCursor = this.#journal.cursor(this.#journal.compacted);
    throw new BerthError("CursorGone", `the cursor ${why}; take a snapshot, or go on from the oldest one, ${oldestCursor}`, {
      oldestCursor,
    });
  }

  /** Waits for new events; false when the time was over before, or the signal fired. */
  async #commit(signal: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const woken = (): void => resolve(true);
    const over = (): void => resolve(false);
    const timer = setTimeout(over, this.#limits.bookmarkMs);
    this.#journal.commits.once("commit", woken);
    signal.addEventListener("abort", over);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#journal.commits.off("commit", woken);
      signal.removeEventListener("abort", over);
    }
  }
}

/**
 * All sandboxes, read in pages that are each of another moment. Each page says up to which event it contains what happened to its
 * sandboxes, so that an event is told exactly when its sandbox's page does not contain it.
 */
class Snapshot {
  readonly #journal: Journal;
  readonly #pageSize: number;
  readonly #pages: { readonly lastId: string; readonly newest: number }[] = [];

  constructor(journal: Journal, pageSize: number) {
    this.#journal = journal;
    this.#pageSize = pageSize;
  }

  async *read(filter: EventFilter): AsyncGenerator<WatchBatch> {
    for (let lastId: string | undefined = ""; lastId !== undefined; ) {
      const { records, newest } = this.#journal.page(lastId, this.#pageSize);
      lastId = records.length < this.#pageSize ? undefined : records.at(-1)?.id;
      this.#pages.push({ lastId: lastId ?? "~", newest });
      const sandboxes = records.filter((record) => isAbout({ ...record, sandboxId: record.id }, filter));
      if (sandboxes.length > 0) yield { sandboxes, events: [] };
    }
  }

  /** The number of the newest event that all of it contains; events after it follow. */
  get begun(): number {
    return this.#pages[0]?.newest ?? 0;
  }

  /** The number of the newest event that any of it contains; 0 without a snapshot. */
  get ended(): number {
    return this.#pages.at(-1)?.newest ?? 0;
  }

  contains({ sandboxId, seq }: JournalEvent): boolean {
    const page = this.#pages.find(({ lastId }) => sandboxId <= lastId);
    return page !== undefined && seq <= page.newest;
  }
}

function matches(event: JournalEvent, filter: EventFilter): boolean {
  return isAbout(event, filter) && (filter.kinds.size === 0 || filter.kinds.has(event.kind));
}

function isAbout(about: Pick<JournalEvent, "namespace" | "name" | "sandboxId">, { namespace, name, sandboxId }: EventFilter): boolean {
  return (
    (namespace === undefined || about.namespace === namespace) &&
    (name === undefined || about.name === name) &&
    (sandboxId === undefined || about.sandboxId === sandboxId)
  );
}
