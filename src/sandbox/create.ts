/** Create: from an accepted request to a sandbox whose apps have all been started. */

import type { BerthError } from "../errors.ts";
import { resolveImage } from "../image/layout.ts";
import { takeDown } from "./ending.ts";
import { launch } from "./launch.ts";
import { type Live, type Operation, type Outcome, type Story, told } from "./operations.ts";
import type { Rooms } from "./rooms.ts";
import { moveTo } from "./state.ts";
import { removeFiles } from "./teardown.ts";

export const CREATE: Story = { verb: "create", run, undo };

async function run(rooms: Rooms, live: Live, operation: Operation): Promise<Outcome> {
  await launch(rooms, live, operation, ({ image = "" }) => resolveImage(image));
  return "stays";
}

/** The name is free again, unless a caller had been answered before: it finds out by the sandbox. */
async function undo(rooms: Rooms, live: Live, failure: BerthError): Promise<Outcome> {
  const { record } = live;
  if (record.state !== "PENDING") await takeDown(rooms, live);
  moveTo(record, "FAILED", { reason: failure.reason, message: told(failure) });
  record.finishedAt = new Date().toISOString();
  if (record.operation?.args.answered && failure.reason !== "Cancelled") return "stays";
  removeFiles(rooms, record);
  return "gone";
}
