import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type LogRecord, parseLines, readLog } from "../../src/monitor/logs.ts";
import { makeScratch } from "../support/scratch.ts";

const TIME = "2026-11-22T05:50:27.236429123Z";
const line = (stream: string, tag: string, text: string | Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${TIME} ${stream} ${tag} `), Buffer.from(text), Buffer.from("\n")]);
const plain = (records: readonly LogRecord[]) => records.map(({ stream, partial, data }) => [stream, partial, data.toString("latin1")]);

async function read(file: string): Promise<LogRecord[][]> {
  const pieces: LogRecord[][] = [];
  for await (const records of readLog(file)) pieces.push(records);
  return pieces;
}

test("a line tells time, stream, whether it is whole, and its bytes, blanks included", () => {
  const bytes = Buffer.concat([line("stdout", "F", "hello"), line("stderr", "P", "  two  "), line("stdout", "F", "")]);
  const records = parseLines(bytes);
  expect(plain(records)).toEqual([
    ["stdout", false, "hello"],
    ["stderr", true, "  two  "],
    ["stdout", false, ""],
  ]);
  expect(records.map(({ time }) => time)).toEqual([TIME, TIME, TIME]);
});

test("bytes that look like records, NUL, and bytes that are no UTF-8 are data", () => {
  const data = Buffer.from([0, 0xff, 0xfe, 0x0d, ...Buffer.from(`${TIME} stdout F inner`)]);
  expect(parseLines(line("stderr", "F", data))).toEqual([{ time: TIME, stream: "stderr", partial: false, data }]);
});

test("what is no record is left out, and those around it are read", () => {
  const good = line("stdout", "F", "good");
  for (const bad of ["\n", "x\n", `${TIME} stdin F x\n`, `${TIME} stdout X x\n`, `${TIME} stdout F\n`, `${"9".repeat(90)} stdout F x\n`]) {
    expect(plain(parseLines(Buffer.concat([good, Buffer.from(bad), good]))), bad).toEqual([
      ["stdout", false, "good"],
      ["stdout", false, "good"],
    ]);
  }
});

test("a torn last line is left out until its end is there", async () => {
  using scratch = makeScratch();
  const file = join(scratch.path, "log");
  const [whole, torn] = [line("stdout", "F", "whole"), line("stdout", "F", "torn")];
  for (let length = 0; length < torn.length; length += 1) {
    writeFileSync(file, Buffer.concat([whole, torn.subarray(0, length)]));
    expect(plain((await read(file)).flat()), `${length} bytes of it`).toEqual([["stdout", false, "whole"]]);
  }
  writeFileSync(file, Buffer.concat([whole, torn]));
  expect(plain((await read(file)).flat())).toEqual([
    ["stdout", false, "whole"],
    ["stdout", false, "torn"],
  ]);
});

test("a log that is not there, or empty, has no records", async () => {
  using scratch = makeScratch();
  expect(await read(join(scratch.path, "none"))).toEqual([]);
  writeFileSync(join(scratch.path, "empty"), "");
  expect(await read(join(scratch.path, "empty"))).toEqual([]);
});

test("records that lie across the borders of what one read gives are whole, in order, and come once", async () => {
  using scratch = makeScratch();
  const file = join(scratch.path, "log");
  // Lines of growing length meet the border of 64 KiB at every place; one is longer than a read.
  const texts = [...Array.from({ length: 900 }, (_, index) => `${index} ${"x".repeat(index)}`), "y".repeat(200_000), "last"];
  writeFileSync(file, Buffer.concat(texts.map((text, index) => line(index % 3 === 0 ? "stderr" : "stdout", "F", text))));
  const pieces = await read(file);
  expect(pieces.flat().map(({ data }) => data.toString())).toEqual(texts);
  // It is read in pieces, so that a large log is never in memory as a whole.
  expect(pieces.length).toBeGreaterThan(5);
});

test("whatever a container writes comes back as it was written", async () => {
  using scratch = makeScratch();
  const file = join(scratch.path, "log");
  const entry = fc.record({
    stream: fc.constantFrom("stdout", "stderr"),
    tag: fc.constantFrom("F", "P"),
    // conmon ends a record at each line feed.
    data: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0x0a))),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 50 }), async (entries) => {
      writeFileSync(file, Buffer.concat(entries.map(({ stream, tag, data }) => line(stream, tag, data))));
      const records = (await read(file)).flat();
      expect(plain(records)).toEqual(entries.map(({ stream, tag, data }) => [stream, tag === "P", data.toString("latin1")]));
    }),
    { numRuns: 100 },
  );
});
