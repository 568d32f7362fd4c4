import { BerthError } from "../errors.ts";
import type { SandboxRecord, SandboxState } from "./record.ts";

/** Which state may follow which. DELETING ends with the record, or in FAILED when something would not go away. */
const MOVES: Readonly<Record<SandboxState, readonly SandboxState[]>> = {
  PENDING: ["CREATING", "DELETING"],
  CREATING: ["RUNNING", "FAILED", "DELETING"],
  RUNNING: ["COMPLETED", "STOPPING", "FAILED", "DELETING"],
  COMPLETED: ["DELETING"],
  STOPPING: ["STOPPED", "FAILED", "DELETING"],
  STOPPED: ["DELETING"],
  FAILED: ["STOPPING", "DELETING"],
  DELETING: ["FAILED"],
};

/** Moves a sandbox on; going to the state that it is in is no move. Throws WrongState for a move that is not listed. */
export function moveTo(record: SandboxRecord, state: SandboxState, why: { reason?: string; message?: string } = {}): void {
  if (record.state !== state && !MOVES[record.state].includes(state)) {
    throw new BerthError("WrongState", `sandbox ${record.namespace}/${record.name} is ${record.state} and cannot become ${state}`);
  }
  record.state = state;
  record.reason = why.reason ?? "";
  record.message = why.message ?? "";
}
