import type { DatabaseSync } from "node:sqlite";

/**
 * The steps that lead to the schema of today: the first makes version 1 of an empty file, each other one leads from the version before it.
 * What has been on a node is never changed again, only followed.
 */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE sandboxes (
     id TEXT PRIMARY KEY,
     namespace TEXT NOT NULL,
     name TEXT NOT NULL,
     state TEXT NOT NULL,
     created_at TEXT NOT NULL,
     record TEXT NOT NULL,
     UNIQUE (namespace, name)
   ) STRICT;`,

  // AUTOINCREMENT: no number is given twice, also when the newest events were deleted.
  `CREATE TABLE events (
     seq INTEGER PRIMARY KEY AUTOINCREMENT,
     time TEXT NOT NULL,
     sandbox_id TEXT NOT NULL,
     namespace TEXT NOT NULL,
     name TEXT NOT NULL,
     kind TEXT NOT NULL,
     event TEXT NOT NULL
   ) STRICT;
   CREATE TABLE journal (id TEXT NOT NULL) STRICT;
   INSERT INTO journal VALUES (lower(hex(randomblob(6))));`,

  // The last one of each verb of a sandbox; what a berthd of before had begun is told by the state that it left.
  `CREATE TABLE operations (
     sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
     verb TEXT NOT NULL,
     id TEXT NOT NULL,
     step TEXT NOT NULL,
     args TEXT NOT NULL,
     request_id TEXT NOT NULL,
     started_at TEXT NOT NULL,
     finished_at TEXT,
     result TEXT,
     PRIMARY KEY (sandbox_id, verb)
   ) STRICT;
   CREATE UNIQUE INDEX one_at_a_time ON operations (sandbox_id) WHERE finished_at IS NULL;
   INSERT INTO operations (sandbox_id, verb, id, step, args, request_id, started_at)
     SELECT id, CASE state WHEN 'CREATING' THEN 'create' WHEN 'STOPPING' THEN 'stop' ELSE 'delete' END, id, 'begin',
       json_patch('{}', json_object('graceUntil', record ->> 'graceUntil')), '', created_at
     FROM sandboxes WHERE state IN ('CREATING', 'STOPPING', 'DELETING');
   ALTER TABLE journal ADD COLUMN made_at REAL NOT NULL DEFAULT 0;
   UPDATE journal SET made_at = unixepoch('subsec') * 1000 WHERE NOT EXISTS (SELECT * FROM sandboxes);`,

  "ALTER TABLE journal ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;",
];

/** Brings a file to the newest version, each step in a transaction of its own. Throws when a newer berthd wrote it. */
export function migrate(db: DatabaseSync, path: string): void {
  const found = Number(db.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (found > MIGRATIONS.length)
    throw new Error(`${path} has schema ${found}; this berthd knows up to ${MIGRATIONS.length}: start a newer berthd`);
  for (const [index, step] of MIGRATIONS.entries()) {
    // Closing the file, which the caller does when this throws, undoes what was begun.
    if (index >= found) db.exec(`BEGIN; ${step} PRAGMA user_version = ${index + 1}; COMMIT`);
  }
}
