import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { runChecks } from "../../src/dev/test/checks.mjs";
import { countReport } from "../../src/dev/test/vitest.mjs";

test("a test file that could not be loaded counts as one failure", () => {
  const passed = { status: "passed", assertionResults: [{ status: "passed" }] };
  const failed = { status: "failed", assertionResults: [{ status: "passed" }, { status: "failed" }] };
  const unloaded = { status: "failed", assertionResults: [] };
  expect(countReport({ numPassedTests: 2, numFailedTests: 1, testResults: [passed, failed] })).toEqual({ passed: 2, failed: 1 });
  expect(countReport({ numPassedTests: 1, numFailedTests: 0, testResults: [passed, unloaded] })).toEqual({ passed: 1, failed: 1 });
});

test("all checks run, whatever failed before", async () => {
  /** @type {string[]} */
  const ran = [];
  const printed = vi.spyOn(console, "log").mockReturnValue();
  /** @param {string} title @param {number} code */
  const check = (title, code) => ({
    title,
    run: () => {
      ran.push(title);
      return Promise.resolve({ code, output: "" });
    },
  });
  expect(await runChecks([check("a", 1), check("b", 0), check("c", 2)])).toBe(2);
  expect(ran).toEqual(["a", "b", "c"]);
  expect(printed.mock.calls.map(([line]) => String(line).split(" (")[0])).toEqual(["FAILED a", "", "ok     b", "FAILED c", ""]);
  printed.mockRestore();
});

test.each(["berth", "berthd"])("npx %s runs the checkout's own, under the pinned Node", (command) => {
  const called = spawnSync("npx", ["--offline", command, "--help"], { encoding: "utf8" });
  expect(called.status).toBe(0);
  expect(called.stdout).toContain(command);
});

test("an unknown command is refused with those there are", () => {
  const called = spawnSync(process.execPath, ["src/dev/run.mjs", "nothing"], { encoding: "utf8" });
  expect(called).toMatchObject({
    status: 1,
    stdout: "",
    stderr: "usage: run.mjs quickstart|bench|check|conformance|test|long|faults [ARGUMENT...]\n",
  });
});

test("the current runsc is taken from the cache without building, and a failed build leaves nothing", () => {
  const cache = mkdtempSync(join(tmpdir(), "berth-cache-"));
  try {
    const folder = join(cache, "berth/runsc-20260905");
    const script = join(cache, "bin/go");
    mkdirSync(join(cache, "bin"));
    writeFileSync(script, '#!/bin/sh\n[ "$1" = env ] && echo go1.26.8 && exit\necho no such module >&2\nexit 1\n');
    chmodSync(script, 0o755);
    const env = { ...process.env, XDG_CACHE_HOME: cache, PATH: `${join(cache, "bin")}:${process.env["PATH"]}` };
    const call = () => spawnSync(process.execPath, ["src/dev/runsc-current.mjs"], { encoding: "utf8", env });
    expect(call()).toMatchObject({ status: 1, stdout: "", stderr: expect.stringContaining("no such module") });
    expect(readdirSync(folder)).toEqual([]);
    writeFileSync(script, "#!/bin/sh\necho go1.25.1\n");
    expect(call()).toMatchObject({ status: 3, stdout: "", stderr: expect.stringMatching(/bin\/go is go1\.25\.1: 1\.26 or newer/) });
    writeFileSync(join(folder, "runsc"), "");
    expect(call()).toMatchObject({ status: 0, stdout: `${folder}/runsc\n`, stderr: "" });
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
});
