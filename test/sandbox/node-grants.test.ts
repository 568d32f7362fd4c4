import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { RLIMIT_TYPES } from "../../src/bundle/rlimits.ts";
import { hardLimits, nodeGrants } from "../../src/sandbox/node-grants.ts";

test("hard limits are read as the kernel prints them", () => {
  const own = hardLimits(readFileSync("/proc/self/limits", "utf8"));
  expect([...own.keys()].toSorted()).toEqual(RLIMIT_TYPES);
  expect(hardLimits("Max open files            1024                 20000                files\n")).toEqual(
    new Map([["RLIMIT_NOFILE", 20_000n]]),
  );
  expect(hardLimits("Max cpu time              5                    unlimited            seconds\n").get("RLIMIT_CPU")).toBe(
    2n ** 64n - 1n,
  );
});

const GRANTS = new URL("../../src/sandbox/node-grants.ts", import.meta.url).pathname;

/** What a process of its own says, started through `wrapper`. */
function grantsUnder(program: string, ...wrapper: string[]): { nofile: string; core: string } {
  const script = `
    import { nodeGrants } from ${JSON.stringify(GRANTS)};
    const { rlimits } = nodeGrants();
    console.log(JSON.stringify({ nofile: String(rlimits.get("RLIMIT_NOFILE")), core: String(rlimits.get("RLIMIT_CORE")) }));`;
  const args = [...wrapper, process.execPath, "--input-type=module", "-e", script];
  return JSON.parse(execFileSync(program, args, { encoding: "utf8" })) as { nofile: string; core: string };
}

test("who may not raise limits gives at most its own", () => {
  expect(grantsUnder("setpriv", "--bounding-set=-sys_resource", "prlimit", "--nofile=900:900", "--core=0:7")).toEqual({
    nofile: "900",
    core: "7",
  });
});

test("no number of open files is above the kernel's own", () => {
  const most = BigInt(readFileSync("/proc/sys/fs/nr_open", "utf8"));
  expect((nodeGrants().rlimits.get("RLIMIT_NOFILE") ?? most + 1n) <= most).toBe(true);
});
