import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { LogStream } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { CLASSES, type TestNode } from "./node.ts";
import {
  bytesOf,
  type ContainerInit,
  create,
  entriesOf,
  hasEnded,
  idOf,
  sharedNode,
  shell,
  untilWritten,
  waitFor,
} from "./life-support/support.ts";

const BERTH = fileURLToPath(new URL("../../src/cli/berth.ts", import.meta.url));

const node = sharedNode();

/** 64 KiB of every byte there is, the same in every run: digests in a row. */
const BINARY = Buffer.concat(Array.from({ length: 2048 }, (_, index) => createHash("sha256").update(String(index)).digest()));
const LONG_LINE = Buffer.from(`${"0123456789".repeat(10 * 1024)}\n`);
const ROUNDS = 256;

let image = "";
beforeAll(() => {
  image = busyboxImage(join(node().dir, "image-data"), {
    extraFiles: { "data/binary": { content: BINARY }, "data/long": { content: LONG_LINE } },
  });
});

const reads = (name: string, script: string): ContainerInit => ({ ...shell(node(), name, script), image });

const TALKER = `
echo out-1; echo err-1 >&2; echo out-2; echo; echo err-2 >&2; echo '  blanks at both ends  '
printf 'no line feed'; printf 'nor here' >&2`;
const TALKER_OUT = "out-1\nout-2\n\n  blanks at both ends  \nno line feed";
const TALKER_ERR = "err-1\nerr-2\nnor here";

describe.each(CLASSES)("under $name", ({ name: runtimeClass }) => {
  test("stdout and stderr come apart and byte for byte: lines, ends without a line feed, every byte, 100 KB in a line", async () => {
    const id = idOf(
      await create(node(), "words", runtimeClass, [
        reads("talker", TALKER),
        reads("binary", "cat /data/binary; cat /data/binary >&2"),
        reads("long", "cat /data/long"),
        reads("silent", "true"),
      ]),
    );
    await node().until(id, hasEnded);
    const talker = await entriesOf(node(), id, "talker");
    expect(bytesOf(talker, LogStream.STDOUT).toString()).toBe(TALKER_OUT);
    expect(bytesOf(talker, LogStream.STDERR).toString()).toBe(TALKER_ERR);
    const partial = talker.filter((entry) => entry.partial).map(({ data }) => Buffer.from(data).toString());
    expect(partial.sort()).toEqual(["no line feed", "nor here"]);
    expect(talker.every(({ time }) => (time?.seconds ?? 0n) > 1_700_000_000n)).toBe(true);

    const binary = await entriesOf(node(), id, "binary");
    expect(bytesOf(binary, LogStream.STDOUT).equals(BINARY)).toBe(true);
    expect(bytesOf(binary, LogStream.STDERR).equals(BINARY)).toBe(true);
    const long = await entriesOf(node(), id, "long");
    expect(bytesOf(long, LogStream.STDOUT).equals(LONG_LINE)).toBe(true);
    expect(long.at(-1)?.partial).toBe(false);
    expect(await entriesOf(node(), id, "silent")).toEqual([]);
  });

  test("16 MiB come byte for byte", async () => {
    const id = idOf(
      await create(node(), "flood", runtimeClass, [reads("app", `i=0; while [ $i -lt ${ROUNDS} ]; do cat /data/binary; i=$((i+1)); done`)]),
    );
    await node().until(id, hasEnded, 60_000);
    const bytes = bytesOf(await entriesOf(node(), id, "app"), LogStream.STDOUT);
    expect(bytes.length).toBe(BINARY.length * ROUNDS);
    expect(bytes.equals(Buffer.concat(Array.from({ length: ROUNDS }, () => BINARY)))).toBe(true);
  });

  test("what is written so far is read while the app runs, and stays when it was killed", async () => {
    const id = idOf(
      await create(node(), "running", runtimeClass, [reads("app", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done")]),
    );
    await untilWritten(node(), id, "app", "2\n");
    const before = await node().output(id, "app");
    const later = await waitFor("more output", async () => {
      const now = await node().output(id, "app");
      return now.length > before.length && now;
    });
    expect(later.startsWith(before)).toBe(true);
    await node().sandboxes.stop({ id, gracePeriod: { seconds: 0n, nanos: 0 } });
    const numbers = (await node().output(id, "app")).trimEnd().split("\n");
    expect(numbers).toEqual(numbers.map((_, index) => String(index)));
  });
});

/** The real CLI, with the bytes that it writes. */
async function berthLogs(on: TestNode, ...args: string[]): Promise<{ code: number | null; stdout: Buffer; stderr: Buffer }> {
  const child = spawn(process.execPath, [BERTH, "logs", ...args], {
    env: { ...process.env, BERTH_ADDRESS: on.address },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr, code] = await Promise.all([buffer(child.stdout), buffer(child.stderr), closed]);
  return { code, stdout, stderr };
}

test("berth logs writes both streams byte for byte, each to its own", async () => {
  const id = idOf(await create(node(), "cli", "runc", [reads("talker", TALKER), reads("binary", "cat /data/binary; cat /data/long >&2")]));
  await node().until(id, hasEnded);
  const talker = await berthLogs(node(), "cli", "-c", "talker");
  expect({ code: talker.code, stdout: talker.stdout.toString(), stderr: talker.stderr.toString() }).toEqual({
    code: 0,
    stdout: TALKER_OUT,
    stderr: TALKER_ERR,
  });
  const binary = await berthLogs(node(), id, "-c", "binary");
  expect(binary.stdout.equals(BINARY)).toBe(true);
  expect(binary.stderr.equals(LONG_LINE)).toBe(true);
});

test("berth logs -t begins each line with its time", async () => {
  const id = idOf(await create(node(), "timed", "runc", [reads("talker", TALKER)]));
  await node().until(id, hasEnded);
  const { stdout } = await berthLogs(node(), "timed", "-t");
  const lines = stdout.toString().split("\n");
  expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /, ""))).toEqual(TALKER_OUT.split("\n"));
  expect(lines.every((line) => /^\d{4}-/.test(line))).toBe(true);
  expect(lines.map((line) => line.slice(0, 30))).toEqual(lines.map((line) => line.slice(0, 30)).sort());
});

test("logs of what is not there are refused by name", async () => {
  await create(node(), "two", "runc", [reads("a", "true"), reads("b", "true")]);
  const unnamed = await berthLogs(node(), "two");
  expect({ code: unnamed.code, stderr: unnamed.stderr.toString() }).toEqual({
    code: 1,
    stderr: "berth: sandbox default/two has several containers, name one: a, b, pause\n",
  });
  const wrong = await berthLogs(node(), "two", "-c", "c");
  expect({ code: wrong.code, stderr: wrong.stderr.toString() }).toEqual({
    code: 1,
    stderr: 'berth: sandbox default/two has no container "c": a, b, pause\n',
  });
  const gone = await berthLogs(node(), "three");
  expect({ code: gone.code, stderr: gone.stderr.toString() }).toEqual({
    code: 1,
    stderr: "berth: there is no sandbox three in namespace default\n",
  });
});
