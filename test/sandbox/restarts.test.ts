import { expect, test } from "vitest";
import { restartOf } from "../../src/sandbox/restarts.ts";

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
