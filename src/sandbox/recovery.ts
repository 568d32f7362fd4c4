/** What a berthd that starts does with the sandboxes of the journal: adopts what lives, and ends or undoes what was begun. */

import { BerthError, toBerthError } from "../errors.ts";
import { COMPLETE } from "./complete.ts";
import { CREATE } from "./create.ts";
import { DELETE } from "./delete.ts";
import { within } from "./ending.ts";
import { endStrayExecs } from "./exec.ts";
import type { Live, Operation, Operations, Story } from "./operations.ts";
import { PAUSE, RESUME } from "./pause.ts";
import type { OperationRecord, Verb } from "./record.ts";
import { RESTART } from "./restart.ts";
import type { Rooms } from "./rooms.ts";
import { START } from "./start.ts";
import { STOP } from "./stop.ts";
import { moveTo } from "./state.ts";
import { findStrays } from "./strays.ts";
import { endStrayCommands } from "./teardown.ts";
import { watchContainers } from "./watching.ts";

/** For one sandbox. One that takes longer goes on while berthd answers already. */
const PATIENCE_MS = 10_000;

const STORIES: Readonly<Record<Verb, Story>> = {
  create: CREATE,
  start: START,
  stop: STOP,
  pause: PAUSE,
  resume: RESUME,
  delete: DELETE,
  complete: COMPLETE,
  restart: RESTART,
};

/** All at once; one bad sandbox never holds up the others. `settled` is told of each that nothing runs on. */
export async function recover(rooms: Rooms, operations: Operations, all: readonly Live[], settled: (live: Live) => void): Promise<void> {
  await Promise.all(all.map((live) => within(recoverOne(rooms, operations, live, settled), PATIENCE_MS)));
  await findStrays(
    rooms,
    all.map(({ record }) => record),
  );
}

async function recoverOne(rooms: Rooms, operations: Operations, live: Live, settled: (live: Live) => void): Promise<void> {
  const { record } = live;
  try {
    await endStrayExecs(rooms, record);
    if (!record.operation) {
      settled(live);
      return;
    }
    endStrayCommands(rooms, record);
    const operation = goOn(operations, live, record.operation);
    const made = record.operation.verb !== "create" && record.operation.verb !== "start";
    if (made && record.runtime) watchContainers(rooms, live, () => settled(live));
    // A long grace must not hold up the start. What becomes of the operation, its own log line tells.
    if (operation.verb !== "stop" && operation.verb !== "delete") await Promise.allSettled([operation.done]);
  } catch (error) {
    const { message } = toBerthError(error);
    rooms.log.error({ sandbox: record.id, err: error }, "a sandbox could not be taken up");
    moveTo(record, "FAILED", { reason: "RecoveryFailed", message });
    rooms.journal.save(record);
  }
}

/** What ends a sandbox, and what can be seen to have happened, is done again; what makes one only when nobody has seen it. */
function goOn(operations: Operations, live: Live, operation: OperationRecord): Operation {
  const { verb, args } = operation;
  const story = STORIES[verb];
  if (verb !== "create" && verb !== "start") return operations.again(live, story, operation);
  // A creation that its caller waited for is undone: the caller has got an error. A second crash may be the sandbox's doing.
  const promised = verb === "start" || args.answered === true;
  if (promised && !args.mayHaveRun && !args.attempts) return operations.again(live, story, operation);
  return operations.undo(live, story, operation, new BerthError("Interrupted", `berthd ended in the middle of the ${verb}`));
}
