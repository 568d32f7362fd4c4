import * as fc from "fast-check";
import { expect, test } from "vitest";
import { newRecord, type SandboxRecord, type SandboxState } from "../../src/sandbox/record.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { moveTo } from "../../src/sandbox/state.ts";

/** Every state and those that may follow, as ARCHITECTURE and DESIGN have it, written down a second time. */
const MOVES: Record<SandboxState, SandboxState[]> = {
  PENDING: ["CREATING", "FAILED", "DELETING"],
  CREATING: ["RUNNING", "FAILED", "DELETING"],
  RUNNING: ["PAUSED", "COMPLETED", "STOPPING", "FAILED", "DELETING"],
  PAUSED: ["RUNNING", "COMPLETED", "STOPPING", "FAILED", "DELETING"],
  COMPLETED: ["CREATING", "FAILED", "DELETING"],
  STOPPING: ["STOPPED", "FAILED", "DELETING"],
  STOPPED: ["CREATING", "FAILED", "DELETING"],
  FAILED: ["CREATING", "STOPPING", "DELETING"],
  DELETING: ["FAILED"],
};
const STATES = Object.keys(MOVES) as SandboxState[];

const REQUEST = parseSandboxRequest({ metadata: { name: "box" }, spec: { containers: [{ name: "web", image: "oci:/a" }] } });
const fresh = (): SandboxRecord => newRecord(REQUEST, "", new Date(0));

test("no listed move is refused and no other accepted, whatever came before", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...STATES), { maxLength: 30 }), (wishes) => {
      const record = fresh();
      let state: SandboxState = "PENDING";
      for (const wish of wishes) {
        const allowed: boolean = wish === state || MOVES[state].includes(wish);
        if (allowed) moveTo(record, wish);
        else expect(() => moveTo(record, wish)).toThrow(expect.objectContaining({ reason: "WrongState" }));
        state = allowed ? wish : state;
        expect(record.state).toBe(state);
      }
    }),
    { numRuns: 1000 },
  );
});

test("every pair of states is either listed or refused", () => {
  for (const from of STATES) {
    for (const to of STATES) {
      const move = (): void => moveTo({ ...fresh(), state: from }, to);
      if (from === to || MOVES[from].includes(to)) expect(move).not.toThrow();
      else expect(move).toThrow(`sandbox default/box is ${from} and cannot become ${to}`);
    }
  }
});

test("a move sets why, and the next one clears it; a refused one leaves all as it was", () => {
  const record = fresh();
  moveTo(record, "CREATING");
  moveTo(record, "FAILED", { reason: "RuntimeFailed", message: "it broke" });
  expect(record).toMatchObject({ state: "FAILED", reason: "RuntimeFailed", message: "it broke" });
  expect(() => moveTo(record, "RUNNING", { reason: "x" })).toThrow("cannot become RUNNING");
  expect(record).toMatchObject({ state: "FAILED", reason: "RuntimeFailed", message: "it broke" });
  moveTo(record, "DELETING");
  expect(record).toMatchObject({ state: "DELETING", reason: "", message: "" });
});

test("from every state a delete is one move away", () => {
  for (const from of STATES) expect(() => moveTo({ ...fresh(), state: from }, "DELETING")).not.toThrow();
});

test("a new record has ids of one length, the sandbox's being its pause's", () => {
  const record = fresh();
  expect(record.id).toBe(record.pause.id);
  for (const { id } of [record.pause, ...record.containers]) expect(id).toMatch(/^[0-9a-f]{32}$/);
});
