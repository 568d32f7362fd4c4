import { expect, test } from "vitest";
import { dueNext, graceUntil } from "../../src/sandbox/deadlines.ts";
import { newRecord, type SandboxRecord } from "../../src/sandbox/record.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";

const at = (seconds: number): string => new Date(seconds * 1000).toISOString();

function record(spec: object, rest: Partial<SandboxRecord> = {}): SandboxRecord {
  const containers = ["a", "b"].map((name) => ({ name, image: "oci:/x" }));
  const request = parseSandboxRequest({ metadata: { name: "box" }, spec: { containers, ...spec } });
  return { ...newRecord(request, "", new Date(0)), state: "RUNNING", activeSince: at(0), startedAt: at(1), ...rest };
}

/** When, what, and why. */
function due(of: SandboxRecord, now = 0): unknown {
  const next = dueNext(of, now * 1000);
  return next && [next.at / 1000, next.story.verb, next.args(now * 1000)];
}

test("a sandbox without any of the fields has nothing before it", () => {
  for (const state of ["PENDING", "RUNNING", "PAUSED", "STOPPED", "COMPLETED", "FAILED"] as const)
    expect(due(record({}, { state, finishedAt: at(5) }))).toBeUndefined();
});

test("the deadline counts from the beginning of the creation or start, and ends with the grace of the spec", () => {
  const spec = { activeDeadlineSeconds: 60, terminationGracePeriodSeconds: 3 };
  const stop = [60, "stop", { because: "DeadlineExceeded", graceUntil: at(103) }];
  expect(due(record(spec), 100)).toEqual(stop);
  expect(due(record(spec, { state: "PAUSED" }), 100)).toEqual(stop);
  expect(due(record(spec, { state: "STOPPED", finishedAt: at(3) }), 100)).toBeUndefined();
});

test("a stop that failed is tried again when the time is over", () => {
  const failed = record({ expiresAt: at(50) }, { state: "FAILED", reason: "StopFailed" });
  expect(due(failed, 60)).toMatchObject([50, "stop", { because: "LeaseExpired" }]);
  expect(due({ ...failed, reason: "RuntimeFailed" }, 60)).toBeUndefined();
});

test("a renewed lease counts instead of the spec's", () => {
  const spec = { expiresAt: at(50) };
  expect(due(record(spec))).toEqual([50, "stop", { because: "LeaseExpired", graceUntil: at(10) }]);
  expect(due(record(spec, { expiresAt: at(80) }))).toMatchObject([80, "stop", { because: "LeaseExpired" }]);
  expect(due(record({}, { expiresAt: at(80) }))).toMatchObject([80, "stop", {}]);
});

test("what has ended is deleted after its time, however it ended", () => {
  for (const state of ["STOPPED", "COMPLETED", "FAILED"] as const)
    expect(due(record({ ttlSecondsAfterFinished: 7 }, { state, finishedAt: at(5) }))).toEqual([12, "delete", {}]);
  expect(due(record({ ttlSecondsAfterFinished: 7 }))).toBeUndefined();
});

test("of restarts the first comes first, and none while the sandbox is paused", () => {
  const waiting = record({ restartPolicy: "Always" });
  const [a, b] = waiting.containers;
  if (a && b) [a.restartAt, b.restartAt] = [at(9), at(4)];
  expect(due(waiting)).toEqual([4, "restart", { container: "b" }]);
  expect(due({ ...waiting, state: "PAUSED" })).toBeUndefined();
});

test("an end that is due already comes before a restart that was due earlier", () => {
  const both = record({ activeDeadlineSeconds: 60 });
  for (const app of both.containers) app.restartAt = at(4);
  expect(due(both, 0)).toMatchObject([4, "restart", {}]);
  expect(due(both, 61)).toMatchObject([60, "stop", {}]);
});

test("the grace is the call's, else the spec's, else ten seconds", () => {
  expect(graceUntil(record({}), 0)).toBe(at(10));
  expect(graceUntil(record({ terminationGracePeriodSeconds: 0 }), 0)).toBe(at(0));
  expect(graceUntil(record({ terminationGracePeriodSeconds: 30 }), 0, 1500)).toBe(at(1.5));
});
