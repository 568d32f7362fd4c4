import { BerthError } from "../errors.ts";
import type { SandboxRecord, SandboxState, Verb } from "./record.ts";

/** Which state may follow which, besides FAILED, which may follow each. DELETING ends with the record. */
const MOVES: Readonly<Record<SandboxState, readonly SandboxState[]>> = {
  PENDING: ["CREATING", "DELETING"],
  CREATING: ["RUNNING", "DELETING"],
  RUNNING: ["PAUSED", "COMPLETED", "STOPPING", "DELETING"],
  PAUSED: ["RUNNING", "COMPLETED", "STOPPING", "DELETING"],
  COMPLETED: ["CREATING", "DELETING"],
  STOPPING: ["STOPPED", "DELETING"],
  STOPPED: ["CREATING", "DELETING"],
  FAILED: ["CREATING", "STOPPING", "DELETING"],
  DELETING: [],
};

/** Moves a sandbox on; going to the state that it is in is no move. Throws WrongState for a move that is not listed. */
export function moveTo(record: SandboxRecord, state: SandboxState, why: { reason?: string; message?: string } = {}): void {
  if (state !== record.state && state !== "FAILED" && !MOVES[record.state].includes(state)) {
    throw new BerthError("WrongState", `sandbox ${record.namespace}/${record.name} is ${record.state} and cannot become ${state}`);
  }
  record.state = state;
  record.reason = why.reason ?? "";
  record.message = why.message ?? "";
}

/** Throws WrongState, with the states that a verb can begin from, in every other one. */
export function requireState({ namespace, name, state }: SandboxRecord, verb: Verb, states: readonly SandboxState[]): void {
  if (states.includes(state)) return;
  throw new BerthError("WrongState", `sandbox ${namespace}/${name} is ${state}: ${verb} needs one that is ${states.join(" or ")}`);
}
