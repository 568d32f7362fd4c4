/** What berthd must not forget, in SQLite: written with an fsync before anything outside is done. */

import { DatabaseSync } from "node:sqlite";
import type { SandboxRecord } from "../sandbox/record.ts";

const SCHEMA_VERSION = 1;

/** Fields of a spec that an earlier berthd did not write, as when nobody asks for anything. */
const LATER_FIELDS = {
  securityContext: { supplementalGroups: [], supplementalGroupsPolicy: "Merge" as const },
  hostname: "",
  requireEnforcement: false,
};

export class Journal {
  readonly #db: DatabaseSync;

  /** Opens or makes the file. Throws when another berthd has it, or a newer one wrote it. */
  constructor(path: string) {
    this.#db = new DatabaseSync(path);
    try {
      // Exclusive: a second berthd on the same state would undo what the first one does.
      this.#db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT");
      this.#migrate(path);
    } catch (error) {
      this.#db.close();
      const locked = error instanceof Error && /database is locked/.test(error.message);
      throw locked ? new Error(`${path} is in use by another berthd`, { cause: error }) : error;
    }
  }

  /** All sandboxes, oldest first. */
  load(): SandboxRecord[] {
    const rows = this.#db.prepare("SELECT record FROM sandboxes ORDER BY created_at, id").all();
    return rows.map((row) => {
      const record = JSON.parse(String(row["record"])) as SandboxRecord;
      return { ...record, spec: { ...LATER_FIELDS, ...record.spec } };
    });
  }

  /** Stores a sandbox as it is now; durable when it returns. */
  save(record: SandboxRecord): void {
    this.#db
      .prepare(
        `INSERT INTO sandboxes (id, namespace, name, state, created_at, record) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, record = excluded.record`,
      )
      .run(record.id, record.namespace, record.name, record.state, record.createdAt, JSON.stringify(record));
  }

  remove(id: string): void {
    this.#db.prepare("DELETE FROM sandboxes WHERE id = ?").run(id);
  }

  close(): void {
    this.#db.close();
  }

  #migrate(path: string): void {
    const version = Number(this.#db.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (version > SCHEMA_VERSION)
      throw new Error(`${path} has schema ${version}; this berthd knows up to ${SCHEMA_VERSION}: start a newer berthd`);
    if (version === SCHEMA_VERSION) return;
    this.#db.exec(`
      BEGIN;
      CREATE TABLE sandboxes (
        id TEXT PRIMARY KEY,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at TEXT NOT NULL,
        record TEXT NOT NULL,
        UNIQUE (namespace, name)
      ) STRICT;
      PRAGMA user_version = ${SCHEMA_VERSION};
      COMMIT`);
  }
}
