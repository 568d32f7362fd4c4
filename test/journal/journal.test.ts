import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { Journal } from "../../src/journal/journal.ts";
import { MIGRATIONS } from "../../src/journal/schema.ts";
import { newRecord, type OperationRecord, type SandboxRecord, type Verb } from "../../src/sandbox/record.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { makeScratch } from "../support/scratch.ts";

const JOURNAL = fileURLToPath(new URL("../../src/journal/journal.ts", import.meta.url));

function record(name: string, createdAt: string): SandboxRecord {
  const containers = [{ name: "app", image: "oci:/images/x", env: [{ name: "A", value: "ünï '\" \\ $" }] }];
  return newRecord(
    parseSandboxRequest({ metadata: { name, labels: { a: "b" } }, spec: { containers } }),
    `request of ${name}`,
    new Date(createdAt),
  );
}

test("what was saved is there again after a reopen, whole, oldest first", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const [younger, older] = [record("younger", "2026-02-01T00:00:00Z"), record("older", "2026-01-01T00:00:00Z")];
  const first = new Journal(path);
  expect(first.load()).toEqual([]);
  first.save(younger);
  first.save(older);
  first.close();
  const second = new Journal(path);
  expect(second.load()).toEqual([older, younger]);
  second.close();
});

test("a file of the first schema, with a live sandbox of a berthd that knew fewer fields, is brought to today's", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const whole = record("old", "2026-01-01T00:00:00Z");
  const { resourceVersion: _version, generation: _generation, annotations, spec, ...first } = whole;
  const { runtimeClassName } = spec;
  const containers = spec.containers.map(({ volumeMounts: _mounts, rlimits: _rlimits, devices: _devices, ...earlier }) => earlier);
  const database = new DatabaseSync(path);
  database.exec(`${MIGRATIONS[0]} PRAGMA user_version = 1`);
  database
    .prepare("INSERT INTO sandboxes VALUES (?, ?, ?, ?, ?, ?)")
    .run(first.id, "default", "old", "PENDING", first.createdAt, JSON.stringify({ ...first, spec: { runtimeClassName, containers } }));
  database.close();

  const journal = new Journal(path);
  expect(journal.load()).toEqual([{ ...first, annotations, spec, resourceVersion: 0, generation: 1 }]);
  const asked = { ...whole, spec: { ...spec, hostname: "h", requireEnforcement: true }, state: "CREATING" as const };
  journal.save(asked);
  expect(journal.load()).toEqual([{ ...asked, resourceVersion: 1 }]);
  expect(journal.events(0, 10)).toMatchObject([{ seq: 1, kind: "sandbox.state", sandboxId: first.id, name: "old", state: "CREATING" }]);
  journal.close();
  const again = new Journal(path);
  expect(again.load()).toEqual([{ ...asked, resourceVersion: 1 }]);
  again.close();
});

test("a save tells what changed since the one before, in the same transaction; the version counts the saves", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const journal = new Journal(path);
  const one = record("one", "2026-01-01T00:00:00Z");
  journal.save({ ...one, operation: operation("create") });
  journal.save(one);
  expect(one.resourceVersion).toBe(2);
  one.state = "RUNNING";
  one.generation = 4;
  journal.save({ ...one, operation: operation("start") }, { events: [{ kind: "image.used", container: "app", message: "told" }] });
  const about = { sandboxId: one.id, namespace: "default", name: "one" };
  const expected = [
    { ...about, seq: 1, kind: "sandbox.created", state: "PENDING", generation: 1, operation: "create" },
    { ...about, seq: 2, kind: "image.used", container: "app", message: "told", generation: 4, operation: "start" },
    { ...about, seq: 3, kind: "sandbox.state", state: "RUNNING", generation: 4, operation: "start" },
  ];
  expect(journal.events(0, 10)).toMatchObject(expected);
  expect(journal.events(1, 1)).toMatchObject([expected[1]!]);

  // What cannot be stored tells nothing and changes nothing.
  const namesake = record("one", "2026-01-02T00:00:00Z");
  expect(() => journal.save(namesake)).toThrow(/UNIQUE/);
  expect(namesake.resourceVersion).toBe(0);
  expect(journal.events(3, 10)).toEqual([]);
  journal.close();
  const again = new Journal(path);
  expect(again.events(0, 10)).toMatchObject(expected);
  again.close();
});

test("what is removed leaves the record of its end, with what was not saved before; what was never saved leaves nothing", () => {
  using scratch = makeScratch();
  const journal = new Journal(join(scratch.path, "journal.db"));
  const one = record("one", "2026-01-01T00:00:00Z");
  journal.remove(one);
  expect(journal.events(0, 10)).toEqual([]);
  journal.save(one);
  Object.assign(one.containers[0]!, { state: "EXITED", exitCode: 7, reason: "Error", finishedAt: "2026-01-01T00:00:09Z" });
  Object.assign(one, { state: "DELETING", reason: "Why", message: "because" });
  journal.remove({ ...one, operation: operation("delete") });
  journal.remove(one);
  expect(journal.load()).toEqual([]);
  expect(journal.events(1, 10)).toMatchObject([
    { kind: "container.exited", container: "app", exitCode: 7, operation: "delete" },
    { kind: "sandbox.state", state: "DELETING", reason: "Why" },
    {
      kind: "sandbox.deleted",
      sandboxId: one.id,
      reason: "Why",
      message: "because",
      end: { state: "DELETING", pause: { name: "pause", state: "WAITING" }, containers: [{ name: "app", state: "EXITED", exitCode: 7 }] },
    },
  ]);
  journal.close();
});

test("a save replaces what was saved before, and a removed sandbox is gone, its name free", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const journal = new Journal(path);
  const one = record("one", "2026-01-01T00:00:00Z");
  journal.save(one);
  one.state = "RUNNING";
  one.containers[0]!.exitCode = 0;
  journal.save(one);
  expect(journal.load()).toEqual([one]);
  const namesake = record("one", "2026-01-02T00:00:00Z");
  expect(() => journal.save(namesake)).toThrow(/UNIQUE/);
  journal.remove(one);
  journal.remove(one);
  journal.save(namesake);
  journal.close();
  const again = new Journal(path);
  expect(again.load()).toEqual([namesake]);
  again.close();
});

test("a save is durable when it returns: the process is killed right after it", () => {
  using scratch = makeScratch();
  const saved = record("x", "2026-01-01T00:00:00Z");
  const path = join(scratch.path, "journal.db");
  const script = `
    import { Journal } from ${JSON.stringify(JOURNAL)};
    new Journal(${JSON.stringify(path)}).save(${JSON.stringify(saved)});
    process.kill(process.pid, "SIGKILL");`;
  const { signal } = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
  expect(signal).toBe("SIGKILL");
  const journal = new Journal(path);
  expect(journal.load()).toEqual([{ ...saved, resourceVersion: 1 }]);
  journal.close();
});

test("a second opener is refused as long as the first has it open, in this process and in another one", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const journal = new Journal(path);
  const refused = `${path} is in use by another berthd`;
  expect(() => new Journal(path)).toThrow(refused);
  const script = `import { Journal } from ${JSON.stringify(JOURNAL)}; new Journal(${JSON.stringify(path)});`;
  const other = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  expect(other.status).toBe(1);
  expect(other.stderr).toContain(refused);
  journal.save(record("goes-on", "2026-01-01T00:00:00Z"));
  journal.close();
  const next = new Journal(path);
  expect(next.load()).toHaveLength(1);
  next.close();
});

test("a journal of a newer schema is refused, and left as it was", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  new Journal(path).close();
  const database = new DatabaseSync(path);
  database.exec("PRAGMA user_version = 99");
  database.close();
  expect(() => new Journal(path)).toThrow(`${path} has schema 99; this berthd knows up to ${MIGRATIONS.length}: start a newer berthd`);
  const after = new DatabaseSync(path);
  expect(after.prepare("PRAGMA user_version").get()).toEqual({ user_version: 99 });
  after.close();
});

test("what is no journal is refused", () => {
  using scratch = makeScratch();
  const [text, folder] = [join(scratch.path, "text"), join(scratch.path, "folder")];
  writeFileSync(text, "not a database, but a text that is long enough to be taken for one\n".repeat(100));
  mkdirSync(folder);
  expect(() => new Journal(text)).toThrow(/not a database/);
  expect(() => new Journal(folder)).toThrow(/unable to open/);
});

const operation = (verb: Verb, more: Partial<OperationRecord> = {}): OperationRecord => ({
  id: `${verb}-1`,
  verb,
  step: "begin",
  args: {},
  requestId: "",
  startedAt: "2026-01-01T00:00:00Z",
  ...more,
});

test("the operation that runs is loaded with its sandbox; one that is over can be asked for until the next of its verb, and goes with the sandbox", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const journal = new Journal(path);
  const one = record("one", "2026-01-01T00:00:00Z");
  const start = operation("start", { requestId: "r-1", args: { attempts: 1 } });
  journal.save({ ...one, operation: start });
  expect(journal.load()).toEqual([{ ...one, resourceVersion: 1, operation: start }]);
  expect(journal.lastOperation(one.id, "start")).toBeUndefined();
  start.step = "app-start";
  const closed = { ...start, finishedAt: "2026-01-01T00:00:01Z", result: "" };
  journal.save({ ...one, operation: closed });
  expect(journal.load()).toEqual([{ ...one, resourceVersion: 2 }]);
  expect(journal.lastOperation(one.id, "start")).toEqual(closed);
  // The end of the second one could not be stored, and then another verb began.
  const second = operation("start", { id: "start-2" });
  journal.save({ ...one, operation: second });
  const stop = operation("stop");
  journal.save({ ...one, operation: stop });
  journal.close();
  const again = new Journal(path);
  expect(again.load()).toEqual([{ ...one, resourceVersion: 4, operation: stop }]);
  expect(again.lastOperation(one.id, "start")).toBeUndefined();
  again.remove(one);
  again.save(one);
  expect(again.load()).toEqual([one]);
  again.close();
});

test("what a berthd without operations was in the middle of is an open operation", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const database = new DatabaseSync(path);
  database.exec(`${MIGRATIONS[0]} PRAGMA user_version = 1`);
  const states = ["PENDING", "CREATING", "RUNNING", "STOPPING", "DELETING", "STOPPED"] as const;
  for (const [index, state] of states.entries()) {
    const one = {
      ...record(state.toLowerCase(), `2026-01-0${index + 1}T00:00:00Z`),
      state,
      ...(state === "STOPPING" ? { graceUntil: "2026-02-01" } : {}),
    };
    database
      .prepare("INSERT INTO sandboxes VALUES (?, ?, ?, ?, ?, ?)")
      .run(one.id, "default", one.name, state, one.createdAt, JSON.stringify(one));
  }
  database.close();
  const journal = new Journal(path);
  const told = journal.load().map(({ state, operation: open }) => [state, open?.verb, open?.args]);
  expect(told).toEqual([
    ["PENDING", undefined, undefined],
    ["CREATING", "create", {}],
    ["RUNNING", undefined, undefined],
    ["STOPPING", "stop", { graceUntil: "2026-02-01" }],
    ["DELETING", "delete", {}],
    ["STOPPED", undefined, undefined],
  ]);
  expect(journal.madeAt).toBe(0);
  journal.close();
});

test("events that are no longer in memory are read from the file, and are the same", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const journal = new Journal(path);
  const told = Array.from({ length: 2500 }, (_, index) => ({ kind: "image.used" as const, container: "app", message: String(index) }));
  journal.save({ ...record("one", "2026-01-01T00:00:00Z"), operation: operation("create") }, { events: told.slice(0, 1250) });
  journal.save(record("two", "2026-01-01T00:00:00Z"), { events: told.slice(1250) });
  const all = [...journal.events(0, 1300), ...journal.events(1300, 5000)];
  expect(all.map(({ seq }) => seq)).toEqual(Array.from({ length: 2502 }, (_, index) => index + 1));
  journal.close();
  const again = new Journal(path);
  expect(again.events(0, 5000)).toEqual(all);
  again.close();
});

test("compaction deletes what is older than an hour, and beyond 100,000 what is older than ten minutes; the oldest first", {
  timeout: 60_000,
}, () => {
  using scratch = makeScratch();
  const journal = new Journal(join(scratch.path, "journal.db"));
  const told = Array.from({ length: 102_500 }, () => ({ kind: "image.used" as const }));
  const now = Date.now();
  const after = (minutes: number): number => {
    let batches = 0;
    while (journal.compact(now + minutes * 60_000)) batches++;
    return batches;
  };
  const one = record("one", "2026-01-01T00:00:00Z");
  journal.save(one, { events: told });
  expect(journal.newest).toBe(102_501);
  after(9);
  expect(journal.compacted).toBe(0);
  // A thousand at a time, so that nobody waits for it.
  expect(after(11)).toBe(2);
  expect(journal.compacted).toBe(2501);
  expect(journal.events(0, 1)).toMatchObject([{ seq: 2502 }]);
  after(59);
  expect(journal.compacted).toBe(2501);
  journal.remove(one);
  const { seq } = journal.events(journal.newest - 1, 1)[0]!;
  after(61);
  expect([journal.compacted, journal.newest]).toEqual([seq, seq]);
  // Numbers are never given again.
  journal.save(record("two", "2026-01-01T00:00:00Z"));
  expect(journal.newest).toBe(seq + 1);
  journal.close();
});

test("what is none of the sandboxes here is told by its id alone", () => {
  using scratch = makeScratch();
  const journal = new Journal(join(scratch.path, "journal.db"));
  journal.tell("5".repeat(32), { kind: "recovery.found", message: "cgroup: left alone" });
  expect(journal.events(0, 10)).toMatchObject([
    { seq: 1, kind: "recovery.found", sandboxId: "5".repeat(32), namespace: "", name: "", operation: "", message: "cgroup: left alone" },
  ]);
  expect(journal.load()).toEqual([]);
  journal.close();
});
