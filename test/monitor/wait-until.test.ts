import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readExitFile, readIfThere, waitUntil } from "../../src/monitor/conmon.ts";
import { makeScratch } from "../support/scratch.ts";

test("what is there already is answered, and nothing is looked at again", async () => {
  using scratch = makeScratch();
  let looks = 0;
  const found = await waitUntil(
    scratch.path,
    () => {
      looks += 1;
      return "there";
    },
    Infinity,
  );
  expect(found).toBe("there");
  writeFileSync(join(scratch.path, "later"), "");
  expect(looks).toBe(1);
});

test("a change in the folder makes it look", async () => {
  using scratch = makeScratch();
  const file = join(scratch.path, "file");
  const waiting = waitUntil(scratch.path, () => readIfThere(file), Infinity);
  writeFileSync(file, "text");
  expect(await waiting).toBe("text");
});

test("false, 0 and the empty text are answers", async () => {
  using scratch = makeScratch();
  for (const answer of [false, 0, ""]) expect(await waitUntil(scratch.path, () => answer, Infinity)).toBe(answer);
});

test("a deadline that is over, or comes, ends the wait after one more look", async () => {
  using scratch = makeScratch();
  let looks = 0;
  const look = (): undefined => {
    looks += 1;
    return undefined;
  };
  expect(await waitUntil(scratch.path, look, Date.now() - 1)).toBeUndefined();
  expect(looks).toBe(1);
  expect(await waitUntil(scratch.path, look, Date.now() + 30)).toBeUndefined();
  expect(looks).toBeGreaterThan(2);
  expect(await waitUntil(scratch.path, () => "found at the end", Date.now() - 1)).toBe("found at the end");
});

test("a signal ends the wait, also one that fired before", async () => {
  using scratch = makeScratch();
  const abort = new AbortController();
  const waiting = waitUntil(scratch.path, () => undefined, Infinity, abort.signal);
  abort.abort();
  expect(await waiting).toBeUndefined();
  expect(await waitUntil(scratch.path, () => undefined, Infinity, abort.signal)).toBeUndefined();
  expect(await waitUntil(scratch.path, () => "there all the same", Infinity, abort.signal)).toBe("there all the same");
});

test("a folder that is not there, or goes away, is looked at all the same", async () => {
  using scratch = makeScratch();
  const dir = join(scratch.path, "late");
  const file = join(dir, "file");
  const late = waitUntil(dir, () => readIfThere(file), Infinity);
  mkdirSync(dir);
  writeFileSync(file, "there now");
  expect(await late).toBe("there now");
  let gone = false;
  const going = waitUntil(dir, () => (gone ? "gone" : undefined), Infinity);
  rmSync(dir, { recursive: true });
  gone = true;
  expect(await going).toBe("gone");
});

test("what a look throws, first or later, is thrown to who waits", async () => {
  using scratch = makeScratch();
  const fail = (): never => {
    throw new Error("torn");
  };
  await expect(waitUntil(scratch.path, fail, Infinity)).rejects.toThrow("torn");
  let bad = false;
  const waiting = waitUntil(scratch.path, () => (bad ? fail() : undefined), Infinity);
  bad = true;
  writeFileSync(join(scratch.path, "file"), "");
  await expect(waiting).rejects.toThrow("torn");
});

test("an exit file is a number, or nothing is known yet", () => {
  using scratch = makeScratch();
  const container = join(scratch.path, "container");
  const exits = join(scratch.path, "exits");
  mkdirSync(exits);
  expect(readExitFile(container, "a")).toBeUndefined();
  for (const [text, code] of [
    ["0", 0],
    ["137", 137],
    ["23\n", 23],
  ] as const) {
    writeFileSync(join(exits, "a"), text);
    expect(readExitFile(container, "a")).toBe(code);
  }
  // conmon writes -1 for what it could not watch.
  for (const text of ["", "\n", "-1", "x", "1 2"]) {
    writeFileSync(join(exits, "a"), text);
    expect(readExitFile(container, "a"), text).toBeUndefined();
  }
});
