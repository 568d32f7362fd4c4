/** Freezes the apps of a sandbox and lets them go on. Each can be run again: what is frozen already, or runs already, is fine. */

import { runtimeFor } from "../runtime/registry.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { SandboxRecord } from "./record.ts";
import { type Rooms, runtimeContainer, sandboxCgroup } from "./rooms.ts";

export async function freeze(rooms: Rooms, record: SandboxRecord): Promise<void> {
  const runtime = runtimeOf(record);
  if (runtime.pause) await runtime.pause(runtimeContainer(rooms, record, record.pause));
  // Pause only waits, and the monitors must see what happens.
  else await Promise.all(record.containers.map(({ id }) => rooms.cgroups.freeze(`${sandboxCgroup(rooms, record.id)}/${id}`)));
}

export async function thaw(rooms: Rooms, record: SandboxRecord): Promise<void> {
  const runtime = runtimeOf(record);
  if (runtime.resume) await runtime.resume(runtimeContainer(rooms, record, record.pause));
  else rooms.cgroups.thaw(sandboxCgroup(rooms, record.id));
}

function runtimeOf(record: SandboxRecord): Runtime {
  if (!record.runtime) throw new Error("only a sandbox with a runtime can be frozen");
  return runtimeFor(record.runtime, record.id, record.spec);
}
