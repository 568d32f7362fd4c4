import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { Journal } from "../../src/journal/journal.ts";
import { newRecord, type SandboxRecord } from "../../src/sandbox/record.ts";
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

test("a sandbox of a berthd that knew fewer fields has what nobody asked for", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const whole = record("old", "2026-01-01T00:00:00Z");
  const { runtimeClassName, containers } = whole.spec;
  const journal = new Journal(path);
  journal.save({ ...whole, spec: { runtimeClassName, containers } as never });
  expect(journal.load()).toEqual([whole]);
  const asked = { ...whole, spec: { ...whole.spec, hostname: "h", requireEnforcement: true } };
  journal.save(asked);
  expect(journal.load()).toEqual([asked]);
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
  journal.remove(one.id);
  journal.remove(one.id);
  journal.save(namesake);
  journal.close();
  const again = new Journal(path);
  expect(again.load()).toEqual([namesake]);
  again.close();
});

test("a save is durable when it returns: the process is killed right after it", () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "journal.db");
  const script = `
    import { Journal } from ${JSON.stringify(JOURNAL)};
    new Journal(${JSON.stringify(path)}).save({ id: "x", namespace: "n", name: "x", state: "RUNNING", createdAt: "2026" });
    process.kill(process.pid, "SIGKILL");`;
  const { signal } = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
  expect(signal).toBe("SIGKILL");
  const journal = new Journal(path);
  expect(journal.load()).toMatchObject([{ id: "x", state: "RUNNING" }]);
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
  expect(() => new Journal(path)).toThrow(`${path} has schema 99; this berthd knows up to 1: start a newer berthd`);
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
