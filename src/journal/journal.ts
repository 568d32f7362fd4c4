/** What berthd must not forget, in SQLite: written with an fsync before anything outside is done. */

import { EventEmitter } from "node:events";
import { DatabaseSync } from "node:sqlite";
import { BerthError } from "../errors.ts";
import type { EventKind } from "../sandbox/event-kinds.ts";
import type { OperationRecord, SandboxRecord, Verb } from "../sandbox/record.ts";
import type { SandboxSpec } from "../sandbox/spec.ts";
import { changes, deleted, type JournalEvent, type NewEvent } from "./events.ts";
import { migrate } from "./schema.ts";

/** Fields of a record, of its spec and of containers that an earlier berthd did not write, as when nobody asks for anything. */
const LATER_RECORD_FIELDS = { annotations: {}, resourceVersion: 0, generation: 1 };
const LATER_SPEC_FIELDS = { hostname: "", requireEnforcement: false, volumes: [], hostAliases: [], restartPolicy: "Never" as const };
const LATER_SECURITY_FIELDS = { supplementalGroups: [], supplementalGroupsPolicy: "Merge" as const, sysctls: [] };
const LATER_CONTAINER_FIELDS = { volumeMounts: [], devices: [], rlimits: [] };

function withLaterFields(spec: SandboxSpec): SandboxSpec {
  return {
    ...LATER_SPEC_FIELDS,
    ...spec,
    securityContext: { ...LATER_SECURITY_FIELDS, ...spec.securityContext },
    containers: spec.containers.map((container) => ({ ...LATER_CONTAINER_FIELDS, ...container })),
  };
}

/** The newest events are kept in memory too, for all who watch: what they share is read and encoded once. */
const RECENT = 1000;

/** Events are kept for an hour, and for ten minutes when there are more than so many. */
const KEPT_EVENTS = 100_000;
const KEPT_MS = 3_600_000;
const ALWAYS_KEPT_MS = 600_000;
/** What is deleted in one transaction. */
const COMPACTION_BATCH = 1000;

/** What is about no sandbox. */
const NODE = { id: "", namespace: "", name: "", generation: 0, resourceVersion: 0 };

/** What a save has to say of itself. */
export interface Cause {
  /** What watchers are told besides the changes of state, which the journal finds itself. */
  readonly events?: readonly NewEvent[];
}

/** Whom events are about. */
type Subject = Pick<SandboxRecord, "id" | "namespace" | "name" | "generation" | "resourceVersion" | "operation">;

export class Journal {
  readonly #db: DatabaseSync;
  /** Milliseconds since the epoch; 0 when an earlier berthd made it, which did not write that down. */
  readonly madeAt: number;
  /** Emits "commit" when there are new events. */
  readonly commits = new EventEmitter().setMaxListeners(0);
  readonly #id: string;
  /** Number of the newest event, 0 for none, and of the newest one that is no longer there. */
  #newest: number;
  #compacted: number;
  /** The newest events, without a gap, oldest first. */
  #recent: JournalEvent[] = [];
  /** Of the transaction that is open. */
  #told: JournalEvent[] = [];

  /** Opens or makes the file. Throws when another berthd has it, or a newer one wrote it. */
  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    try {
      // Exclusive: a second berthd on the same state would undo what the first one does.
      this.#db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT");
      migrate(this.#db, path);
      const { id, made_at: madeAt } = this.#db.prepare("SELECT id, made_at FROM journal").get() ?? {};
      this.#id = String(id);
      this.madeAt = Number(madeAt);
      this.#newest = Number(this.#db.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'events'").get()?.["seq"] ?? 0);
      this.#compacted = this.#oldest() - 1;
    } catch (error) {
      this.#db.close();
      const locked = error instanceof Error && /database is locked/.test(error.message);
      throw locked ? new Error(`${path} is in use by another berthd`, { cause: error }) : error;
    }
  }

  /** Whether the node is drained; see sandbox/drain.ts. */
  get draining(): boolean {
    return this.#db.prepare("SELECT draining FROM journal").get()?.["draining"] === 1;
  }

  /** With its event, once it changes something. Throws as save does. */
  set draining(wanted: boolean) {
    if (wanted === this.draining) return;
    this.#transaction(() => {
      this.#db.prepare("UPDATE journal SET draining = ?").run(wanted ? 1 : 0);
      this.#append(NODE, [{ kind: wanted ? "node.drained" : "node.undrained" }]);
    });
  }

  /** All sandboxes, oldest first. */
  load(): SandboxRecord[] {
    return this.#withOperations(this.#db.prepare("SELECT record FROM sandboxes ORDER BY created_at, id").all());
  }

  /** The last operation of the verb on a sandbox that is over. */
  lastOperation(sandboxId: string, verb: Verb): OperationRecord | undefined {
    const row = this.#db
      .prepare("SELECT * FROM operations WHERE sandbox_id = ? AND verb = ? AND finished_at IS NOT NULL")
      .get(sandboxId, verb);
    return row && parseOperation(row);
  }

  /**
   * Stores a sandbox as it is now and the operation on it, with the events of what changed since the last save; durable when it
   * returns. Gives the record its next resourceVersion. Throws StorageFull or JournalFailed, and then nothing was stored.
   */
  save(record: SandboxRecord, cause: Cause = {}): void {
    record.resourceVersion = this.#transaction(() => {
      const before = this.#find(record.id);
      const next = { ...record, resourceVersion: (before ?? record).resourceVersion + 1 };
      this.#db
        .prepare(
          `INSERT INTO sandboxes (id, namespace, name, state, created_at, record) VALUES (?, ?, ?, ?, ?, ?)
           ON CONFLICT (id) DO UPDATE SET state = excluded.state, record = excluded.record`,
        )
        .run(next.id, next.namespace, next.name, next.state, next.createdAt, JSON.stringify({ ...next, operation: undefined }));
      if (next.operation) this.#saveOperation(next.id, next.operation);
      this.#append(next, changes(before, next, cause.events ?? []));
      return next.resourceVersion;
    });
  }

  /** Forgets a sandbox, with the events of its end. One that was never saved leaves nothing. Throws as save does. */
  remove(record: SandboxRecord, cause: Cause = {}): void {
    const before = this.#find(record.id);
    if (!before) return;
    this.#transaction(() => {
      this.#db.prepare("DELETE FROM sandboxes WHERE id = ?").run(record.id);
      this.#append(record, [...changes(before, record, cause.events ?? []), deleted(record)]);
    });
  }

  /** Tells of what is none of the sandboxes here, by the id that it bears. Throws as save does. */
  tell(sandboxId: string, event: NewEvent): void {
    this.#transaction(() => this.#append({ ...NODE, id: sandboxId }, [event]));
  }

  /** One page of the sandboxes, ordered by id, with the number of the newest event that it contains. */
  page(afterId: string, limit: number): { records: SandboxRecord[]; newest: number } {
    const rows = this.#db.prepare("SELECT record FROM sandboxes WHERE id > ? ORDER BY id LIMIT ?").all(afterId, limit);
    return { records: this.#withOperations(rows), newest: this.#newest };
  }

  /** Events after the one of this number, oldest first. Those that all watchers have in common are the same objects for all. */
  events(after: number, limit: number): readonly JournalEvent[] {
    const index = after + 1 - (this.#recent[0]?.seq ?? Infinity);
    if (index >= 0) return this.#recent.slice(index, index + limit);
    const rows = this.#db
      .prepare("SELECT seq, time, sandbox_id, namespace, name, kind, event FROM events WHERE seq > ? ORDER BY seq LIMIT ?")
      .all(after, limit);
    return rows.map((row) => ({
      ...(JSON.parse(String(row["event"])) as Stored),
      seq: Number(row["seq"]),
      cursor: this.cursor(Number(row["seq"])),
      time: String(row["time"]),
      sandboxId: String(row["sandbox_id"]),
      namespace: String(row["namespace"]),
      name: String(row["name"]),
      kind: String(row["kind"]) as EventKind,
    }));
  }

  /** Number of the newest event; 0 when there was none. */
  get newest(): number {
    return this.#newest;
  }

  /** Every event after this number is there. */
  get compacted(): number {
    return this.#compacted;
  }

  /** Number of the last event before a time, ISO 8601 in UTC; the oldest that can be gone on from when there is none. */
  before(time: string): number {
    return Number(this.#db.prepare("SELECT max(seq) AS seq FROM events WHERE time < ?").get(time)?.["seq"] ?? this.#compacted);
  }

  /** Names a place between events, for callers. */
  cursor(seq: number): string {
    return `${this.#id}-${seq}`;
  }

  /** The place that a cursor names; "lost" for one of another journal. Undefined for what is no cursor. */
  seqOf(cursor: string): number | "lost" | undefined {
    const { id, seq } = /^(?<id>[0-9a-f]{12})-(?<seq>\d{1,15})$/.exec(cursor)?.groups ?? {};
    if (id === undefined) return undefined;
    return id === this.#id && Number(seq) <= this.#newest ? Number(seq) : "lost";
  }

  /** Deletes old events, the oldest first and at most a batch of them. Answers whether there may be more to delete. */
  compact(now = Date.now()): boolean {
    const ago = (milliseconds: number): string => new Date(now - milliseconds).toISOString();
    // Only a beginning is deleted, so that what is left has no gap: up to the first one that stays.
    const { stays, last } = this.#db
      .prepare(
        `SELECT min(iif(time < ? OR (seq <= ? AND time < ?), NULL, seq)) AS stays, max(seq) AS last
         FROM (SELECT seq, time FROM events ORDER BY seq LIMIT ?)`,
      )
      .get(ago(KEPT_MS), this.#newest - KEPT_EVENTS, ago(ALWAYS_KEPT_MS), COMPACTION_BATCH) as {
      stays: number | null;
      last: number | null;
    };
    const upTo = stays === null ? (last ?? this.#compacted) : stays - 1;
    if (upTo <= this.#compacted) return false;
    this.#transaction(() => this.#db.prepare("DELETE FROM events WHERE seq <= ?").run(upTo));
    this.#compacted = upTo;
    this.#recent = this.#recent.filter(({ seq }) => seq > upTo);
    return stays === null;
  }

  close(): void {
    this.#db.close();
  }

  #find(id: string): SandboxRecord | undefined {
    const row = this.#db.prepare("SELECT record FROM sandboxes WHERE id = ?").get(id);
    return row && parseRecord(row["record"]);
  }

  #saveOperation(sandboxId: string, { id, verb, step, args, requestId, startedAt, finishedAt, result }: OperationRecord): void {
    // One whose end could not be stored is over all the same when the next one begins.
    this.#db.prepare("DELETE FROM operations WHERE sandbox_id = ? AND id <> ? AND finished_at IS NULL").run(sandboxId, id);
    this.#db
      .prepare(
        `INSERT OR REPLACE INTO operations (sandbox_id, verb, id, step, args, request_id, started_at, finished_at, result)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(sandboxId, verb, id, step, JSON.stringify(args), requestId, startedAt, finishedAt ?? null, result ?? null);
  }

  #withOperations(rows: readonly Record<string, unknown>[]): SandboxRecord[] {
    const open = new Map(this.#openOperations());
    return rows.map((row) => {
      const record = parseRecord(row["record"]);
      const operation = open.get(record.id);
      return operation ? { ...record, operation } : record;
    });
  }

  #openOperations(): [sandboxId: string, OperationRecord][] {
    const rows = this.#db.prepare("SELECT * FROM operations WHERE finished_at IS NULL").all();
    return rows.map((row) => [String(row["sandbox_id"]), parseOperation(row)]);
  }

  #oldest(): number {
    return Number(this.#db.prepare("SELECT min(seq) AS seq FROM events").get()?.["seq"] ?? this.#newest + 1);
  }

  #append(record: Subject, events: readonly NewEvent[]): void {
    const { id: sandboxId, namespace, name, generation, resourceVersion } = record;
    const operation = record.operation?.verb ?? "";
    const insert = this.#db.prepare("INSERT INTO events (time, sandbox_id, namespace, name, kind, event) VALUES (?, ?, ?, ?, ?, ?)");
    const time = new Date().toISOString();
    for (const { kind, ...told } of events) {
      const event: Stored = { generation, resourceVersion, operation, ...told };
      const { lastInsertRowid } = insert.run(time, sandboxId, namespace, name, kind, JSON.stringify(event));
      const seq = Number(lastInsertRowid);
      this.#told.push({ ...event, seq, cursor: this.cursor(seq), time, sandboxId, namespace, name, kind });
    }
  }

  /** All of it or nothing, and durable when it returns; those who watch are woken then. */
  #transaction<T>(act: () => T): T {
    const result = this.#commit(act);
    this.#wake();
    return result;
  }

  #commit<T>(act: () => T): T {
    this.#told = [];
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const result = act();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      // SQLite has rolled back by itself after some faults of the disk.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw journalError(error);
    }
  }

  #wake(): void {
    const newest = this.#told.at(-1)?.seq;
    if (newest === undefined) return;
    this.#newest = newest;
    this.#recent.push(...this.#told);
    // Seldom, as it copies all of them.
    if (this.#recent.length > 2 * RECENT) this.#recent = this.#recent.slice(-RECENT);
    this.commits.emit("commit");
  }
}

/** What of an event stands in its JSON: the rest are columns. */
type Stored = Omit<JournalEvent, "seq" | "cursor" | "time" | "sandboxId" | "namespace" | "name" | "kind">;

function parseRecord(json: unknown): SandboxRecord {
  const record = JSON.parse(String(json)) as SandboxRecord;
  return { ...LATER_RECORD_FIELDS, ...record, spec: withLaterFields(record.spec) };
}

function parseOperation(row: Record<string, unknown>): OperationRecord {
  const text = (column: string): string => String(row[column]);
  return {
    id: text("id"),
    verb: text("verb") as Verb,
    step: text("step"),
    args: JSON.parse(text("args")) as OperationRecord["args"],
    requestId: text("request_id"),
    startedAt: text("started_at"),
    ...(row["finished_at"] === null ? {} : { finishedAt: text("finished_at"), result: text("result") }),
  };
}

/** SQLite's primary result codes for what the node's disk does, as against faults of ours. */
const SQLITE_FULL = 13;
const DISK_FAULTS = new Map([
  [8, "it cannot be written"],
  [10, "the disk fails"],
  [11, "it is damaged"],
  [14, "it cannot be opened"],
  [26, "it is damaged"],
]);

function journalError(error: unknown): unknown {
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
  if (code === SQLITE_FULL) return new BerthError("StorageFull", "the disk that holds berthd's journal is full", { cause: error });
  const fault = code === undefined ? undefined : DISK_FAULTS.get(code);
  if (fault === undefined) return error;
  return new BerthError("JournalFailed", `berthd's journal takes no entries: ${fault}`, { cause: error });
}
