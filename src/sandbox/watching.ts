/** Watches the containers of a sandbox that runs, and writes into the record how each ended. */

import { runtimeFor } from "../runtime/registry.ts";
import { markEnded } from "./ending.ts";
import { watchExit } from "./exits.ts";
import type { Live } from "./operations.ts";
import { allContainers, type ContainerRecord, hasEnded } from "./record.ts";
import { type Rooms, runtimeContainer } from "./rooms.ts";

/** Watches each container that runs and is not watched yet until it has ended; `ended` is told of each end. */
export function watchContainers(rooms: Rooms, live: Live, ended: () => void): void {
  const { record } = live;
  if (!record.runtime) throw new Error("only a sandbox with a runtime can be watched");
  const runtime = runtimeFor(record.runtime, record.id, record.spec);
  live.watching ??= new AbortController();
  const watching = live.watching;

  const learn = async (container: ContainerRecord): Promise<number | undefined | "aborted"> => {
    try {
      return await watchExit(runtime, runtimeContainer(rooms, record, container), container, watching.signal);
    } catch (error) {
      rooms.log.error({ sandbox: record.id, container: container.name, err: error }, "a container can no longer be watched");
      return undefined;
    }
  };
  const watch = async (container: ContainerRecord): Promise<void> => {
    const code = await learn(container);
    if (code === "aborted" || watching.signal.aborted || hasEnded(container)) return;
    markEnded(container, code, "ExitCodeLost");
    // What is being deleted needs no exit code after a crash.
    if (!live.gone && live.operation?.verb !== "delete") rooms.journal.save(record);
    ended();
  };
  const unwatched = ({ name }: ContainerRecord): boolean => !live.ended.has(name);
  for (const container of allContainers(record).filter((one) => unwatched(one) && !hasEnded(one) && one.restartAt === undefined)) {
    const done = watch(container).catch((error: unknown) => {
      rooms.log.error({ sandbox: record.id, container: container.name, err: error }, "the end of a container could not be stored");
    });
    live.ended.set(container.name, done);
  }
}
