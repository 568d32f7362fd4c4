import { join } from "node:path";
import type { NodeGrants } from "../bundle/enforcement.ts";
import type { BerthConfig } from "../config.ts";
import type { Cgroups } from "../host/cgroups.ts";
import type { PinnedImages } from "../image/pinned.ts";
import type { LayerStore } from "../image/store.ts";
import type { Journal } from "../journal/journal.ts";
import type { SandboxNamespaces } from "../network/namespaces.ts";
import type { NodePaths } from "../paths.ts";
import type { NodePolicy } from "../policy/policy.ts";
import type { RootFilesystems } from "../rootfs/overlay.ts";
import type { RuntimeRegistry } from "../runtime/registry.ts";
import type { RuntimeContainer } from "../runtime/runtime.ts";
import type { Drain } from "./drain.ts";
import type { Faults } from "./faults.ts";
import type { SandboxVolumes } from "../volume/volumes.ts";
import type { ContainerRecord, SandboxRecord } from "./record.ts";

/** Where sandboxes report what happens to them, for people. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** All that operations on sandboxes need of the other rooms; daemon.ts puts it together. */
export interface Rooms {
  readonly config: BerthConfig;
  /** What holds now for what is asked now: it may be read again at any time. */
  readonly policy: { readonly current: NodePolicy };
  readonly paths: NodePaths;
  readonly journal: Journal;
  readonly runtimes: RuntimeRegistry;
  readonly layers: LayerStore;
  readonly pinnedImages: PinnedImages;
  readonly rootfs: RootFilesystems;
  readonly volumes: SandboxVolumes;
  readonly namespaces: SandboxNamespaces;
  readonly cgroups: Cgroups;
  readonly node: NodeGrants;
  readonly drain: Drain;
  readonly log: Log;
  readonly faults: Faults;
}

/** A container as its runtime sees it. */
export function runtimeContainer(rooms: Rooms, record: SandboxRecord, container: ContainerRecord): RuntimeContainer {
  return {
    id: container.id,
    role: container === record.pause ? "pause" : "app",
    bundle: join(rooms.paths.bundles(record.id), container.name),
    dir: rooms.paths.container(record.id, container.id),
    root: rooms.paths.runtimeRoot(record.id),
    process: container.process,
  };
}

/** Group of a sandbox in every cgroup hierarchy; its containers' groups and the monitors' lie in it. */
export function sandboxCgroup(rooms: Rooms, sandboxId: string): string {
  return `${rooms.config.cgroupRoot}/${sandboxId}`;
}
