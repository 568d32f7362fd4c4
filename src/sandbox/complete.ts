/** The end that a sandbox comes to by itself: when every app has ended for good and its exit code is stored, or when pause died before. */

import type { BerthError } from "../errors.ts";
import { isAlive } from "../host/processes.ts";
import { takeDown } from "./ending.ts";
import { type Live, type Operation, type Outcome, type Story, told } from "./operations.ts";
import { hasEnded, type SandboxRecord, type SandboxState } from "./record.ts";
import { restartAfter } from "./restarts.ts";
import type { Rooms } from "./rooms.ts";
import { moveTo } from "./state.ts";

export const COMPLETE: Story = { verb: "complete", run, undo };

async function run(rooms: Rooms, live: Live, operation: Operation): Promise<Outcome> {
  // Before anything is taken down: afterwards pause has ended in any case.
  const end = ownEnd(live.record);
  await operation.step("take-down", () => takeDown(rooms, live));
  if (end) moveTo(live.record, end.state, end);
  live.record.finishedAt = new Date().toISOString();
  return "stays";
}

function undo(_rooms: Rooms, { record }: Live, failure: BerthError): Outcome {
  moveTo(record, "FAILED", { reason: "CleanupFailed", message: told(failure) });
  return "stays";
}

interface End {
  readonly state: SandboxState;
  readonly reason?: string;
  readonly message?: string;
}

/** The end that a running sandbox has come to; undefined while it goes on. */
export function ownEnd(record: SandboxRecord): End | undefined {
  if (record.state !== "RUNNING" && record.state !== "PAUSED") return undefined;
  const allEnded = record.containers.every((app) => hasEnded(app) && !restartAfter(record, app));
  const unknown = record.containers.filter((app) => app.state === "UNKNOWN").map((app) => app.name);
  // Whichever watch is first: when pause is gone, the sandbox died.
  const died = hasEnded(record.pause) || (record.pause.process !== undefined && !isAlive(record.pause.process));
  if (died && (unknown.length > 0 || !allEnded))
    return { state: "FAILED", reason: "SandboxDied", message: "the pause container ended before the apps did" };
  if (!allEnded) return undefined;
  if (unknown.length > 0) return { state: "FAILED", reason: "ExitCodeLost", message: `nobody could learn how ${unknown.join(", ")} ended` };
  return { state: "COMPLETED" };
}
