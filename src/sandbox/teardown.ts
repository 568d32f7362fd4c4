/** Takes down what a sandbox has on the node. Every step can be run again and minds nothing that is not there. */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive, isInCgroup, killProcess, processesNaming } from "../host/processes.ts";
import { listMounts, unmount } from "../host/mounts.ts";
import { exitDir } from "../monitor/conmon.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { allContainers, type ContainerRecord, type SandboxRecord } from "./record.ts";
import { type Rooms, runtimeContainer, sandboxCgroup } from "./rooms.ts";

/** For monitors to write exit files after their container was killed. */
const MONITOR_MS = 5_000;
const LOOK_MS = 5;

/** Ends every process and removes all run-time state; bundles, logs, writable layers and volumes on disk stay. Throws when something does not go away. */
export async function teardown(rooms: Rooms, record: SandboxRecord): Promise<void> {
  // What is frozen would not die.
  rooms.cgroups.thaw(sandboxCgroup(rooms, record.id));
  await killContainers(allContainers(record));
  await removeRunning(rooms, record.id);
  for (const container of record.containers) rooms.rootfs.unmount(container.id);
}

/** Removes the run-time state of an app, so that it can be created anew beside the others; bundle, log and writable layer stay. */
export async function clearApp(rooms: Rooms, record: SandboxRecord, app: ContainerRecord, runtime: Runtime): Promise<void> {
  await killContainers([app]);
  const group = `${sandboxCgroup(rooms, record.id)}/${app.id}`;
  await rooms.cgroups.killAll(group);
  const target = runtimeContainer(rooms, record, app);
  await runtime.forget(target);
  await rooms.cgroups.remove(group);
  rmSync(join(exitDir(target.dir), app.id), { force: true });
  rmSync(target.dir, { recursive: true, force: true });
}

/** Ends what is in a sandbox's group and removes its group, mounts of volumes, namespaces and run-time files. */
export async function removeRunning(rooms: Rooms, sandboxId: string): Promise<void> {
  await rooms.cgroups.killAll(sandboxCgroup(rooms, sandboxId));
  await rooms.cgroups.remove(sandboxCgroup(rooms, sandboxId));
  rooms.volumes.unmount(sandboxId);
  rooms.namespaces.remove(sandboxId);
  const dir = rooms.paths.sandbox(sandboxId);
  // runsc pins a network namespace of its own in its state folder.
  for (const mount of listMounts(dir)) unmount(mount);
  rmSync(dir, { recursive: true, force: true });
}

/** Removes what teardown leaves: nothing of the sandbox is on the node afterwards. */
export function removeFiles(rooms: Rooms, record: SandboxRecord): void {
  for (const container of record.containers) rooms.rootfs.remove(container.id);
  rooms.volumes.remove(record.id);
  rmSync(rooms.paths.bundles(record.id), { recursive: true, force: true });
  rmSync(rooms.paths.logs(record.id), { recursive: true, force: true });
}

/**
 * Ends the runtime's commands that berthd was waiting for when it was killed: they are in none of the sandbox's groups, and one
 * that hangs has nobody left to end it.
 */
export function endStrayCommands(rooms: Rooms, record: SandboxRecord): void {
  const cgroup = sandboxCgroup(rooms, record.id);
  // Both are named, so that nobody who only looks at a file of the sandbox is meant.
  const strays = record.runtime ? processesNaming([record.runtime.binary, `${rooms.paths.sandbox(record.id)}/`]) : [];
  for (const process of strays) if (!isInCgroup(process, cgroup)) killProcess(process, "SIGKILL");
}

/** Kills what is known by pid and start time, and lets the monitors see it. */
async function killContainers(containers: readonly ContainerRecord[]): Promise<void> {
  for (const { process } of containers) if (process) killProcess(process, "SIGKILL");
  const monitorsLive = (): boolean => containers.some(({ monitor }) => monitor && isAlive(monitor));
  // A monitor ends a moment after it wrote its exit file: its end is no change in any folder that could be watched.
  for (const deadline = Date.now() + MONITOR_MS; monitorsLive() && Date.now() < deadline; ) await sleep(LOOK_MS);
}
