/** What berthd must not forget, in SQLite: written with an fsync before anything outside is done. */

import { DatabaseSync } from "node:sqlite";
import { BerthError } from "../errors.ts";
import type { OperationRecord, SandboxRecord, Verb } from "../sandbox/record.ts";
import type { SandboxSpec } from "../sandbox/spec.ts";
import { changes, deleted, type EventKind, type JournalEvent, type NewEvent } from "./events.ts";
import { migrate } from "./schema.ts";

/** Fields of a record and of its spec that an earlier berthd did not write, as when nobody asks for anything. */
const LATER_RECORD_FIELDS = { resourceVersion: 0, generation: 1 };
const LATER_SPEC_FIELDS = { hostname: "", requireEnforcement: false };
const LATER_SECURITY_FIELDS = { supplementalGroups: [], supplementalGroupsPolicy: "Merge" as const };
const LATER_CONTAINER_FIELDS = { rlimits: [] };

function withLaterFields(spec: SandboxSpec): SandboxSpec {
  return {
    ...LATER_SPEC_FIELDS,
    ...spec,
    securityContext: { ...LATER_SECURITY_FIELDS, ...spec.securityContext },
    containers: spec.containers.map((container) => ({ ...LATER_CONTAINER_FIELDS, ...container })),
  };
}

/** What a save has to say of itself. */
export interface Cause {
  /** What watchers are told besides the changes of state, which the journal finds itself. */
  readonly events?: readonly NewEvent[];
}

export class Journal {
  readonly #db: DatabaseSync;
  /** Milliseconds since the epoch; 0 when an earlier berthd made it, which did not write that down. */
  readonly madeAt: number;

  /** Opens or makes the file. Throws when another berthd has it, or a newer one wrote it. */
  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    try {
      // Exclusive: a second berthd on the same state would undo what the first one does.
      this.#db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT");
      migrate(this.#db, path);
      this.madeAt = Number(this.#db.prepare("SELECT made_at FROM journal").get()?.["made_at"]);
    } catch (error) {
      this.#db.close();
      const locked = error instanceof Error && /database is locked/.test(error.message);
      throw locked ? new Error(`${path} is in use by another berthd`, { cause: error }) : error;
    }
  }

  /** All sandboxes, oldest first. */
  load(): SandboxRecord[] {
    const rows = this.#db.prepare("SELECT record FROM sandboxes ORDER BY created_at, id").all();
    const open = new Map(this.#openOperations());
    return rows.map((row) => {
      const record = parseRecord(row["record"]);
      const operation = open.get(record.id);
      return operation ? { ...record, operation } : record;
    });
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

  /** Events after the one of this number, oldest first. */
  events(after: number, limit: number): JournalEvent[] {
    const rows = this.#db
      .prepare("SELECT seq, time, sandbox_id, namespace, name, kind, event FROM events WHERE seq > ? ORDER BY seq LIMIT ?")
      .all(after, limit);
    return rows.map((row) => ({
      ...(JSON.parse(String(row["event"])) as Omit<JournalEvent, "seq" | "time" | "sandboxId" | "namespace" | "name" | "kind">),
      seq: Number(row["seq"]),
      time: String(row["time"]),
      sandboxId: String(row["sandbox_id"]),
      namespace: String(row["namespace"]),
      name: String(row["name"]),
      kind: String(row["kind"]) as EventKind,
    }));
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

  #openOperations(): [sandboxId: string, OperationRecord][] {
    const rows = this.#db.prepare("SELECT * FROM operations WHERE finished_at IS NULL").all();
    return rows.map((row) => [String(row["sandbox_id"]), parseOperation(row)]);
  }

  #append({ id, namespace, name, generation, operation: running }: SandboxRecord, events: readonly NewEvent[]): void {
    const operation = running?.verb ?? "";
    const insert = this.#db.prepare("INSERT INTO events (time, sandbox_id, namespace, name, kind, event) VALUES (?, ?, ?, ?, ?, ?)");
    const time = new Date().toISOString();
    for (const { kind, ...event } of events)
      insert.run(time, id, namespace, name, kind, JSON.stringify({ generation, operation, ...event }));
  }

  /** All of it or nothing, and durable when it returns. */
  #transaction<T>(act: () => T): T {
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
}

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
