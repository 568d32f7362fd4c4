/** Pause and resume: every process of the apps stands still, and goes on where it was. */

import { isAlive } from "../host/processes.ts";
import { freeze, thaw } from "./freezing.ts";
import type { Live, Operation, Outcome, Story } from "./operations.ts";
import type { SandboxRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";
import { moveTo, requireState } from "./state.ts";

export const PAUSE: Story = {
  verb: "pause",
  begin: (next) => requireState(next, "pause", ["RUNNING"]),
  async run(rooms: Rooms, { record }: Live, operation: Operation): Promise<Outcome> {
    await operation.step("freeze", () => freeze(rooms, record));
    moveTo(record, "PAUSED");
    return "stays";
  },
  async undo(rooms: Rooms, { record }: Live): Promise<Outcome> {
    if (lives(record)) await thaw(rooms, record);
    moveTo(record, "RUNNING");
    return "stays";
  },
};

export const RESUME: Story = {
  verb: "resume",
  begin: (next) => requireState(next, "resume", ["PAUSED"]),
  async run(rooms: Rooms, { record }: Live, operation: Operation): Promise<Outcome> {
    await operation.step("thaw", () => thaw(rooms, record));
    moveTo(record, "RUNNING");
    return "stays";
  },
  async undo(rooms: Rooms, { record }: Live): Promise<Outcome> {
    if (lives(record)) await freeze(rooms, record);
    moveTo(record, "PAUSED");
    return "stays";
  },
};

/** One that died meanwhile comes to its end by itself. */
const lives = ({ pause }: SandboxRecord): boolean => pause.process !== undefined && isAlive(pause.process);
