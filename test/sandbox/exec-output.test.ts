import { PassThrough } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { outputOf } from "../../src/sandbox/exec-output.ts";

function twoStreams() {
  const [stdout, stderr] = [new PassThrough({ highWaterMark: 1024 }), new PassThrough({ highWaterMark: 1024 })];
  return { stdout, stderr, streams: new Map([["stdout", stdout] as const, ["stderr", stderr] as const]) };
}

async function collect(output: ReturnType<typeof outputOf>): Promise<Record<"stdout" | "stderr", string>> {
  const texts = { stdout: "", stderr: "" };
  for await (const { stream, data } of output) texts[stream] += data.toString();
  return texts;
}

const NEVER = new Promise<void>(() => undefined);

test("both streams come to their end, whatever was written before anybody listened", async () => {
  const { stdout, stderr, streams } = twoStreams();
  stdout.write("early ");
  const all = collect(outputOf(streams, NEVER));
  stderr.end("all at once");
  await sleep(1);
  stdout.end("late");
  expect(await all).toEqual({ stdout: "early late", stderr: "all at once" });
});

test("nothing is read that nobody takes: a writer is told to wait", async () => {
  const { stdout, streams } = twoStreams();
  const output = outputOf(streams, NEVER);
  stdout.write(Buffer.alloc(4096));
  await output.next();
  stdout.write(Buffer.alloc(4096));
  await sleep(20);
  expect(stdout.writableNeedDrain).toBe(true);
});

test("after the program's end what lies there is read, and a stream that somebody else holds open is not waited for", async () => {
  const { stdout, streams } = twoStreams();
  stdout.write("last words");
  expect(await collect(outputOf(streams, Promise.resolve()))).toEqual({ stdout: "last words", stderr: "" });
});

test("a slow reader loses nothing after the program's end", async () => {
  const { stdout, stderr, streams } = twoStreams();
  const ended = Promise.withResolvers<void>();
  const output = outputOf(streams, ended.promise);
  stderr.end();
  stdout.write("one");
  expect((await output.next()).value).toMatchObject({ stream: "stdout" });
  stdout.write("two");
  ended.resolve();
  // Longer than what is waited for more.
  await sleep(400);
  expect(await collect(output)).toMatchObject({ stdout: "two" });
});

test("a stream that breaks has ended", async () => {
  const { stdout, stderr, streams } = twoStreams();
  const all = collect(outputOf(streams, NEVER));
  stdout.write("before");
  await sleep(1);
  stdout.destroy(new Error("EIO"));
  stderr.end();
  expect(await all).toEqual({ stdout: "before", stderr: "" });
});
