import { describe, expect, test } from "vitest";
import { changes, type NewEvent } from "../../src/journal/events.ts";
import { type ContainerRecord, newRecord, type SandboxRecord } from "../../src/sandbox/record.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";

const spec = {
  containers: [
    { name: "one", image: "oci:/x" },
    { name: "two", image: "oci:/y" },
  ],
};
const FRESH = newRecord(parseSandboxRequest({ metadata: { name: "web" }, spec }), "", new Date("2026-01-01T00:00:00Z"));

/** The record with other fields, of itself and of its containers by name. */
function changed(record: SandboxRecord, fields: Partial<SandboxRecord>, containers: Record<string, Partial<ContainerRecord>> = {}) {
  const of = (container: ContainerRecord): ContainerRecord => ({ ...container, ...containers[container.name] });
  return { ...record, pause: of(record.pause), containers: record.containers.map(of), ...fields };
}

/** "KIND CONTAINER STATE CODE", as far as they are there. */
const said = (events: readonly NewEvent[]): string[] =>
  events.map(({ kind, container, state, exitCode }) => [kind, container, state, exitCode].filter((part) => part !== undefined).join(" "));

const started = { state: "RUNNING", startedAt: "2026-01-01T00:00:01Z" } as const;
const exited = { ...started, state: "EXITED", exitCode: 3, reason: "Error", finishedAt: "2026-01-01T00:00:02Z" } as const;
const lost = { ...started, state: "UNKNOWN", reason: "ExitCodeLost", finishedAt: "2026-01-01T00:00:02Z" } as const;
const RUNNING = changed(FRESH, { state: "RUNNING" }, { pause: started, one: started, two: started });

describe("what a save tells", () => {
  test.each<[string, SandboxRecord | undefined, SandboxRecord, string[]]>([
    ["a new sandbox", undefined, FRESH, ["sandbox.created PENDING"]],
    ["nothing changed", RUNNING, structuredClone(RUNNING), []],
    ["its message only", RUNNING, changed(RUNNING, { message: "m", warnings: ["w"] }), []],
    ["another state", RUNNING, changed(RUNNING, { state: "STOPPING" }), ["sandbox.state STOPPING"]],
    ["another reason of its state", RUNNING, changed(RUNNING, { reason: "Why" }), ["sandbox.state RUNNING"]],
    [
      "images resolved",
      FRESH,
      changed(FRESH, { state: "CREATING" }, { one: { imageDigest: "sha256:1" } }),
      ["image.used one", "sandbox.state CREATING"],
    ],
    [
      "a container created",
      FRESH,
      changed(FRESH, {}, { pause: { state: "CREATED" }, two: { state: "CREATED" } }),
      ["container.created pause CREATED", "container.created two CREATED"],
    ],
    [
      "everything started",
      FRESH,
      RUNNING,
      ["container.started pause RUNNING", "container.started one RUNNING", "container.started two RUNNING", "sandbox.state RUNNING"],
    ],
    ["an exit", RUNNING, changed(RUNNING, {}, { two: exited }), ["container.exited two EXITED 3"]],
    ["an exit that nobody learnt", RUNNING, changed(RUNNING, {}, { two: lost }), ["container.unknown two UNKNOWN"]],
    ["an exit learnt late", changed(RUNNING, {}, { two: lost }), changed(RUNNING, {}, { two: exited }), ["container.exited two EXITED 3"]],
    [
      "a start and an end between two saves",
      FRESH,
      changed(FRESH, {}, { one: exited }),
      ["container.started one RUNNING", "container.exited one EXITED 3"],
    ],
    [
      "a second run",
      changed(RUNNING, {}, { one: exited }),
      changed(RUNNING, {}, { one: { ...started, startedAt: "2026-01-01T00:00:05Z" } }),
      ["container.started one RUNNING"],
    ],
    [
      "a second run with the same end",
      changed(RUNNING, {}, { one: exited }),
      changed(RUNNING, {}, { one: { ...exited, startedAt: "2026-01-01T00:00:05Z", finishedAt: "2026-01-01T00:00:06Z" } }),
      ["container.started one RUNNING", "container.exited one EXITED 3"],
    ],
    [
      "a container that waits again",
      changed(RUNNING, {}, { one: exited }),
      changed(RUNNING, {}, { one: { ...exited, state: "WAITING", reason: "BackOff" } }),
      ["container.waiting one WAITING"],
    ],
  ])("%s", (_what, before, after, expected) => {
    expect(said(changes(before, after, []))).toEqual(expected);
  });

  test("what the caller tells comes after a creation, and before the changes that it led to", () => {
    const told = [{ kind: "image.used", container: "told" }] as const;
    expect(said(changes(undefined, changed(FRESH, {}, { one: exited }), told))).toEqual([
      "sandbox.created PENDING",
      "image.used told",
      "container.started one RUNNING",
      "container.exited one EXITED 3",
    ]);
    expect(said(changes(RUNNING, changed(RUNNING, { state: "FAILED" }, { one: lost }), told))).toEqual([
      "image.used told",
      "container.unknown one UNKNOWN",
      "sandbox.state FAILED",
    ]);
  });
});
