import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { quote } from "../../src/dev/bench/shell.ts";
import { median, p95, pairedRatio } from "../../src/dev/bench/statistics.ts";
import { columns, grid, wrap } from "../../src/dev/quickstart/grid.ts";
import { differences, parseReader, parseStatus } from "../../src/dev/quickstart/reading.ts";
import { Cgroups } from "../../src/host/cgroups.ts";

const QUICKSTART = fileURLToPath(new URL("../../src/dev/quickstart.ts", import.meta.url));

function status(name: string, pid: number, more = ""): string {
  return `Name:\t${name}\nPid:\t${pid}\nUid:\t1000\t1001\t1000\t1000\nGid:\t5\t6\t5\t5\nCapInh:\t0000000000000000\nCapPrm:\t0000000000001000\nCapEff:\t0000000000001000\nCapBnd:\t00000000000010c0\n${more}`;
}

describe("what is read of a process", () => {
  test("names, effective ids and sets come from the text of /proc/PID/status", () => {
    const read = parseStatus(status("sh", 7));
    expect(read).toMatchObject({ name: "sh", pid: 7, uid: 1001, gid: 6 });
    expect(read.sets).toMatchObject({
      effective: ["NET_ADMIN"],
      bounding: ["SETGID", "SETUID", "NET_ADMIN"],
      inheritable: [],
      ambient: undefined,
    });
  });

  test("a pid that the host tells is the one in the innermost pid namespace", () => {
    expect(parseStatus(status("pause", 4711, "NSpid:\t4711\t1\n")).pid).toBe(1);
  });

  test("a text without a set is refused by the name of what is missing", () => {
    expect(() => parseStatus("Name:\tsh\nPid:\t1\nUid:\t0\t0\nGid:\t0\t0\n")).toThrow("CapInh");
  });

  test("output is complete only with its last line", () => {
    const output = `== first\n${status("sh", 1)}== child\n${status("busybox", 2)}`;
    expect(parseReader(output)).toBeUndefined();
    expect(parseReader(`${output}== end\n`)?.child.name).toBe("busybox");
  });

  test("every property that does not hold is named", () => {
    const expected = { name: "pause", pid: 1 as const, uid: 0, gid: 0, bounding: ["KILL"], effective: ["KILL"] };
    expect(differences("pause", parseStatus(status("sh", 7)), expected)).toEqual([
      "pause: the process that was read is sh, must be pause",
      "pause: the pid that was read is 7",
      "pause: the user is 1001:6, must be 0:0",
      "pause: the bounding set is NET_ADMIN SETGID SETUID, must be KILL",
      "pause: the effective set is NET_ADMIN, must be KILL",
      "pause: the permitted set is NET_ADMIN, must be KILL",
    ]);
  });
});

describe("tables", () => {
  test("cells are wrapped at blanks and rows are as high as their highest cell", () => {
    expect(grid([3, 5], ["a", "b"], [["x", "one two"]])).toBe(
      ["+-----+-------+", "| a   | b     |", "+-----+-------+", "| x   | one   |", "|     | two   |", "+-----+-------+"].join("\n"),
    );
  });

  test("a word that is wider than its column is cut", () => {
    expect(wrap("abcdefgh ij", 3)).toEqual(["abc", "def", "gh", "ij"]);
  });

  test("numbers stand to the right of their column", () => {
    expect(
      columns([
        ["what", "ms"],
        ["create", "7.5"],
        ["x", "100.0"],
      ]),
    ).toBe("what       ms\ncreate    7.5\nx       100.0");
  });
});

describe("figures of the bench", () => {
  test("the median of an even number of values is the mean of the two in the middle", () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([3, 1, 2])).toBe(2);
    expect(median([])).toBeNaN();
  });

  test("95 of 100 values do not exceed p95", () => {
    const values = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(p95(values)).toBe(95);
    expect(p95([7])).toBe(7);
  });

  test("a paired ratio does not see what slows both sides of a round", () => {
    expect(pairedRatio([11, 110, 1100], [10, 100, 1000])).toBeCloseTo(1.1);
  });

  test("a word goes through a shell as it is", () => {
    for (const word of ["plain", "a b", "it's", "$HOME;`id`", ""]) {
      expect(execFileSync("/bin/sh", ["-c", `printf %s ${quote(word)}`], { encoding: "utf8" })).toBe(word);
    }
  });
});

describe("the program", () => {
  test("shows three runtimes, ends with 0 and leaves nothing", { timeout: 120_000 }, async () => {
    const { code, output, traces } = await run();
    expect(output).not.toContain("WRONG");
    expect(code).toBe(0);
    for (const runtime of ["runsc", "runc", "crun"]) expect(output).toContain(`${runtime}: look for what is left of it`);
    expect(output.match(/nothing: no process, no mount, no cgroup/g)).toHaveLength(3);
    expect(output).toContain("Warning: container user-app");
    expect(output.split("\n").filter((line) => line.length > 120)).toEqual([]);
    expect(output).not.toContain("\u001b");
    expect(traces).toEqual([]);
  });

  test("cleans up when it is interrupted while a sandbox runs", { timeout: 120_000 }, async () => {
    const { code, output, traces } = await run(/runc: create a sandbox.* ms/);
    expect(output).toContain("SIGINT: cleaned up");
    expect(code).toBe(130);
    expect(traces).toEqual([]);
  });
});

/** Runs the quickstart, and interrupts it when its output matches. Answers also what is left of it afterwards. */
async function run(interruptAt?: RegExp): Promise<{ code: number | null; output: string; traces: string[] }> {
  const child = spawn(process.execPath, [QUICKSTART], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (interruptAt?.test(output)) child.kill("SIGINT");
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const dir = /berthd runs in (\S+),/.exec(output)?.[1] ?? "";
  const cgroups = new Cgroups().hierarchies.map(({ mountPoint }) => join(mountPoint, basename(dir)));
  return { code, output, traces: [dir, ...cgroups].filter((path) => path === "" || existsSync(path)) };
}
