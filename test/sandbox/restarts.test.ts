import { expect, test } from "vitest";
import { newRecord, type SandboxRecord } from "../../src/sandbox/record.ts";
import { planAfterFailure, planRestarts, restartOf } from "../../src/sandbox/restarts.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";

const SECOND = 1000;
const run = (exitCode: number | undefined, row = 0, milliseconds = SECOND) => ({ exitCode, milliseconds, row });

test.each([
  ["Never", 1, false],
  ["Never", 0, false],
  ["Never", undefined, false],
  ["OnFailure", 0, false],
  ["OnFailure", 1, true],
  ["OnFailure", 137, true],
  // Nobody knows that it was a success.
  ["OnFailure", undefined, true],
  ["Always", 0, true],
  ["Always", 1, true],
  ["Always", undefined, true],
] as const)("%s after the exit code %s", (policy, exitCode, again) => {
  expect(restartOf(policy, run(exitCode)) !== undefined).toBe(again);
});

test("the first restart waits for nothing, the others twice as long each, at most five minutes", () => {
  const delays = Array.from({ length: 9 }, (_, row) => restartOf("Always", run(1, row)));
  expect(delays.map((restart) => (restart?.delayMs ?? Number.NaN) / SECOND)).toEqual([0, 10, 20, 40, 80, 160, 300, 300, 300]);
  expect(delays.map((restart) => restart?.row)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("a run of ten minutes begins a new row", () => {
  expect(restartOf("Always", run(1, 6, 599 * SECOND))).toEqual({ delayMs: 300 * SECOND, row: 7 });
  expect(restartOf("Always", run(1, 6, 600 * SECOND))).toEqual({ delayMs: 0, row: 1 });
});

const at = (seconds: number): string => new Date(seconds * SECOND).toISOString();

/** Apps a, which ended with the code, and b, which runs. */
function record(restartPolicy: string, exitCode: number): SandboxRecord {
  const containers = ["a", "b"].map((name) => ({ name, image: "oci:/x" }));
  const made = newRecord(parseSandboxRequest({ metadata: { name: "box" }, spec: { restartPolicy, containers } }), "", new Date(0));
  made.state = "RUNNING";
  const [a, b] = made.containers;
  if (a) Object.assign(a, { state: "EXITED", reason: "Error", exitCode, startedAt: at(1), finishedAt: at(2) });
  if (b) b.state = "RUNNING";
  return made;
}

test("only an app that ended and is to run again waits, at first for nothing and then in a back-off", () => {
  const failed = record("OnFailure", 4);
  const [a, b] = failed.containers;
  expect(planRestarts(failed, 3 * SECOND)).toBe(true);
  expect(a).toMatchObject({ state: "WAITING", reason: "Restarting", restartRow: 1, restartAt: at(3), exitCode: 4 });
  expect(b?.restartAt).toBeUndefined();
  expect(planRestarts(failed, 4 * SECOND)).toBe(false);
  if (a) planAfterFailure(failed, a, 5 * SECOND);
  expect(a).toMatchObject({ state: "WAITING", reason: "CrashLoopBackOff", restartRow: 2, restartAt: at(15) });
});

test("in a sandbox that was ended nothing waits", () => {
  for (const state of ["STOPPED", "FAILED", "COMPLETED"] as const) {
    const over = { ...record("Always", 4), state };
    expect(planRestarts(over, 3 * SECOND)).toBe(false);
    expect(over.containers[0]).toMatchObject({ state: "EXITED", exitCode: 4 });
  }
});

test("an app whose policy is satisfied stays as it ended", () => {
  const done = record("OnFailure", 0);
  expect(planRestarts(done, 3 * SECOND)).toBe(false);
  expect(done.containers[0]).toMatchObject({ state: "EXITED", exitCode: 0 });
});
