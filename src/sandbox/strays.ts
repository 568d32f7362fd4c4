/** What is on the node and looks like a sandbox of berth's, and is none of the journal's. */

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { killProcess, processesNaming } from "../host/processes.ts";
import { toBerthError } from "../errors.ts";
import { allContainers, type SandboxRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";
import { removeRunning } from "./teardown.ts";

/** Only names of this form are berth's. */
const ID = /^[0-9a-f]{32}$/;

/**
 * Reports every stray. Its processes, mounts, groups and run-time files are removed where it is certainly this berthd's and gone from
 * the journal: this STATE holds bundles of that id, which are younger than the journal. Otherwise another berthd's sandboxes may live
 * under the same RUN or cgroup, or the journal that knew them was lost. Files under STATE are never removed: they may be all that is
 * left of somebody's work.
 */
export async function findStrays(rooms: Rooms, records: readonly SandboxRecord[]): Promise<void> {
  const known = new Set(records.map(({ id }) => id));
  const strays = new Map<string, string[]>();
  const look = (what: string, names: readonly string[]): void => {
    for (const id of names) if (ID.test(id) && !known.has(id)) strays.set(id, [...(strays.get(id) ?? []), what]);
  };
  look("run-time files", list(rooms.paths.sandboxes));
  look("namespaces", rooms.namespaces.list());
  look("mounts of volumes", list(rooms.paths.allVolumeMounts));
  look("cgroup", rooms.cgroups.list(rooms.config.cgroupRoot));
  look("bundles", list(rooms.paths.allBundles));
  await Promise.all([...strays].map(([id, found]) => settle(rooms, id, found)));

  const containers = new Set(records.flatMap(allContainers).map(({ id }) => id));
  for (const id of list(rooms.paths.rootfs).filter((name) => ID.test(name) && !containers.has(name))) {
    const unmounted = isOurs(rooms, join(rooms.paths.rootfs, id));
    if (unmounted) rooms.rootfs.unmount(id);
    report(rooms, id, `files of a container of no sandbox, which stay${unmounted ? "" : " as they are"}`);
  }
}

async function settle(rooms: Rooms, id: string, found: readonly string[]): Promise<void> {
  const what = found.join(", ");
  if (!isOurs(rooms, rooms.paths.bundles(id))) {
    report(rooms, id, `${what}: left alone, as it may be another berthd's, or of a journal that was lost`);
    return;
  }
  try {
    // A command of the runtime is in no group of the sandbox.
    const commands = processesNaming([`${rooms.paths.runtimes}/`, `${rooms.paths.sandbox(id)}/`]);
    for (const process of commands) killProcess(process, "SIGKILL");
    await removeRunning(rooms, id);
    report(rooms, id, `${what}: removed, but for files under STATE`);
  } catch (error) {
    report(rooms, id, `${what}: does not go away: ${toBerthError(error).message}`);
  }
}

function report(rooms: Rooms, id: string, message: string): void {
  rooms.log.warn({ id }, `recovery.found: ${message}`);
  rooms.journal.tell(id, { kind: "recovery.found", message });
}

/** Whether this STATE made it, and the journal that there is now would know it. */
function isOurs(rooms: Rooms, folder: string): boolean {
  return existsSync(folder) && statSync(folder).mtimeMs >= rooms.journal.madeAt;
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
