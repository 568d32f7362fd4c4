/** Delete: ends what runs and removes everything. */

import type { BerthError } from "../errors.ts";
import { beginEnding, endApps, takeDown } from "./ending.ts";
import { type Live, type Operation, type Outcome, type Story, told } from "./operations.ts";
import type { SandboxRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";
import { moveTo } from "./state.ts";
import { removeFiles } from "./teardown.ts";

export const DELETE: Story = { verb: "delete", begin, run, undo };

function begin(next: SandboxRecord): void {
  next.wanted = "gone";
  beginEnding(next, "DELETING");
}

async function run(rooms: Rooms, live: Live, operation: Operation): Promise<Outcome> {
  await endApps(rooms, live, operation);
  await operation.step("take-down", () => takeDown(rooms, live));
  await operation.step("remove-files", () => removeFiles(rooms, live.record));
  return "gone";
}

function undo(_rooms: Rooms, { record }: Live, failure: BerthError): Outcome {
  moveTo(record, "FAILED", { reason: "DeleteFailed", message: told(failure) });
  return "stays";
}
