/** Restart: an app that ended runs again in the sandbox that lives on, on what it has written. */

import type { BerthError } from "../errors.ts";
import { isAlive } from "../host/processes.ts";
import { runtimeFor } from "../runtime/registry.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { createContainer, makeMountPoints, startContainer } from "./launch.ts";
import type { Live, Operation, Outcome, Story } from "./operations.ts";
import { type ContainerRecord, OF_A_RUN, type SandboxRecord } from "./record.ts";
import { planAfterFailure } from "./restarts.ts";
import type { Rooms } from "./rooms.ts";
import { requireState } from "./state.ts";
import { clearApp } from "./teardown.ts";

export const RESTART: Story = { verb: "restart", begin: (next) => requireState(next, "restart", ["RUNNING"]), run, undo };

async function run(rooms: Rooms, live: Live, operation: Operation): Promise<Outcome> {
  const { record } = live;
  const { app, runtime } = subject(record, operation.record.args.container);
  const { name } = app;
  await operation.step("clear", () => clearApp(rooms, record, app, runtime), name);
  for (const key of OF_A_RUN) delete app[key];
  live.ended.delete(name);
  await operation.step("volumes", () => makeMountPoints(rooms, record, [app]), name);
  await operation.step("app-create", () => createContainer(rooms, record, app, runtime), name);
  app.reason = "";
  // With its processes, so that whoever comes after a crash can end them.
  await operation.intend("app-start");
  await operation.step("app-start", () => startContainer(rooms, record, app, runtime), name);
  app.restartCount = (app.restartCount ?? 0) + 1;
  delete app.restartAt;
  return "stays";
}

/** It is tried again, later; how often is told by its row. */
async function undo(rooms: Rooms, { record }: Live, failure: BerthError): Promise<Outcome> {
  const { app, runtime } = subject(record, record.operation?.args.container);
  if (record.pause.process && isAlive(record.pause.process)) await clearApp(rooms, record, app, runtime);
  if (failure.reason === "Cancelled") app.state = "WAITING";
  else planAfterFailure(record, app, Date.now());
  return "stays";
}

function subject(record: SandboxRecord, name: string | undefined): { app: ContainerRecord; runtime: Runtime } {
  const app = record.containers.find((container) => container.name === name);
  if (!app || !record.runtime) throw new Error("only an app of a sandbox that runs can be restarted");
  return { app, runtime: runtimeFor(record.runtime, record.id, record.spec) };
}
