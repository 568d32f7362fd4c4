/** Stop: ends the apps and then pause, for a caller or because the time is over. The record, exit codes, logs and what was written stay. */

import type { BerthError } from "../errors.ts";
import { beginEnding, endApps, takeDown } from "./ending.ts";
import { type Live, type Operation, type Outcome, type Story, told } from "./operations.ts";
import type { SandboxRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";
import { moveTo } from "./state.ts";

export const STOP: Story = { verb: "stop", begin, run, undo };

function begin(next: SandboxRecord): void {
  if (next.operation?.args.because === undefined) next.wanted = "stopped";
  beginEnding(next, "STOPPING");
}

async function run(rooms: Rooms, live: Live, operation: Operation): Promise<Outcome> {
  await endApps(rooms, live, operation);
  await operation.step("take-down", () => takeDown(rooms, live));
  live.record.finishedAt = new Date().toISOString();
  const { because } = operation.record.args;
  if (because === "DeadlineExceeded") moveTo(live.record, "FAILED", { reason: because, message: "activeDeadlineSeconds have passed" });
  else moveTo(live.record, "STOPPED", because && { reason: because, message: "nobody renewed the lease in time" });
  return "stays";
}

/** There is no way back from a signal: another stop, a start or a delete goes on. */
function undo(_rooms: Rooms, { record }: Live, failure: BerthError): Outcome {
  moveTo(record, "FAILED", { reason: "StopFailed", message: told(failure) });
  return "stays";
}
