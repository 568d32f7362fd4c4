/** Makes the volumes of a sandbox and the places in its containers where they are mounted. */

import { join } from "node:path";
import { destinationFault, liesBelow } from "../bundle/destinations.ts";
import { byDepth, isInSandbox, memoryOptions, type VolumePlaces, volumeOf } from "../bundle/mounts.ts";
import { invalidRequest, show } from "../errors.ts";
import { ensureDirInRoot, FileInRootError } from "../host/files.ts";
import type { NodePaths } from "../paths.ts";
import type { AdapterName } from "../runtime/runtime.ts";
import type { SandboxVolumes } from "../volume/volumes.ts";
import type { ContainerSpec, SandboxSpec } from "./spec.ts";

/** A sandbox whose volumes are meant. */
interface Subject {
  readonly id: string;
  readonly spec: SandboxSpec;
}

/** Where volumes stand on the node: said by ids alone, so that rendering offline says the same. */
export function volumePlaces(paths: NodePaths, { id, spec }: Subject): VolumePlaces {
  return new Map(
    spec.volumes.flatMap(({ name, emptyDir }) => {
      if (!emptyDir) return [];
      return [[name, join(emptyDir.medium === "Memory" ? paths.volumeMounts(id) : paths.volumes(id), name)] as const];
    }),
  );
}

/** Makes those that the node has a part in. */
export function makeVolumes(volumes: SandboxVolumes, { id, spec }: Subject, adapter: AdapterName): void {
  for (const volume of spec.volumes) {
    if (!volume.emptyDir || isInSandbox(volume, adapter)) continue;
    if (volume.emptyDir.medium === "Memory") volumes.mountMemory(id, volume.name, memoryOptions(volume.emptyDir));
    else volumes.makeFolder(id, volume.name);
  }
}

/**
 * Makes every mount point before a runtime looks for it, confined to the root filesystem or to the volume that it lies in. So no runtime
 * makes one, and none follows a link of an image to where it would. Throws InvalidRequest for what leads elsewhere.
 */
export function prepareMountPoints(input: MountPointInput): void {
  for (const [index, container] of input.spec.containers.entries()) {
    const rootfs = input.rootfs.get(container.name);
    if (rootfs !== undefined) prepareOf(input, container, rootfs, `spec.containers[${index}]`);
  }
}

interface MountPointInput {
  readonly spec: SandboxSpec;
  readonly adapter: AdapterName;
  /** Root filesystems by container name; others are left alone. */
  readonly rootfs: ReadonlyMap<string, string>;
  readonly volumes: VolumePlaces;
}

/** A place in a container that a volume covers. */
interface Covered {
  readonly path: string;
  /** As the request has it. */
  readonly asked: string;
  /** Where the volume stands on the node; undefined when it does not, and is empty whenever it is mounted. */
  readonly source: string | undefined;
}

function prepareOf({ spec, adapter, volumes }: MountPointInput, container: ContainerSpec, rootfs: string, field: string): void {
  const covered: Covered[] = [];
  for (const { volumeMount, index } of byDepth(container.volumeMounts)) {
    const path = volumeMount.mountPath;
    const refuse: Refuse = (rule) => {
      const allowed = "a path that no symbolic link leads elsewhere";
      throw invalidRequest([{ field: `${field}.volumeMounts[${index}].mountPath`, rule, value: show(path), allowed }]);
    };
    const volume = volumeOf(spec, volumeMount);
    const source = isInSandbox(volume, adapter) ? undefined : volumes.get(volume.name);
    const outer = covered.findLast((other) => liesBelow(path, other.path));
    // runc gives a tmpfs the mode of the folder that it covers.
    const mode = volume.tmpfs?.mode;
    const real = outer ? pathInVolume(outer, { path, mode }, refuse) : pathInRootfs(rootfs, { path, mode }, covered, refuse);
    covered.push({ path, asked: path, source }, ...(real === path ? [] : [{ path: real, asked: path, source }]));
  }
}

type Refuse = (rule: string) => never;

/** A folder to be covered, and the mode that it must have. */
interface MountPoint {
  readonly path: string;
  readonly mode: number | undefined;
}

function pathInRootfs(rootfs: string, { path, mode }: MountPoint, covered: readonly Covered[], refuse: Refuse): string {
  const real = mountPoint(rootfs, { path, mode }, refuse);
  const fault = destinationFault(real);
  if (fault !== undefined) refuse(`leads by a symbolic link of the image to ${real}, which ${fault}`);
  const other = covered.find((one) => real === one.path || liesBelow(real, one.path) || liesBelow(one.path, real));
  if (other) refuse(`is ${real} in the image, by a symbolic link, and in the way of the mount at ${other.asked}`);
  return real;
}

/** A link in a volume would mean another place to the runtime, which looks from the container's root. */
function pathInVolume(outer: Covered, { path, mode }: MountPoint, refuse: Refuse): string {
  if (outer.source === undefined) return path;
  const below = path.slice(outer.path.length);
  if (mountPoint(outer.source, { path: below, mode }, refuse) !== below)
    refuse(`leads through a symbolic link of the volume at ${outer.asked}`);
  return path;
}

/** Where it really is, as a path in the root. */
function mountPoint(root: string, { path, mode }: MountPoint, refuse: Refuse): string {
  try {
    return ensureDirInRoot(root, path, mode);
  } catch (error) {
    if (error instanceof FileInRootError) return refuse(`cannot be a mount point: ${error.message}`);
    throw error;
  }
}
