/** Makes the volumes of a sandbox and the places in its containers where they are mounted. */

import { statSync } from "node:fs";
import { join } from "node:path";
import { destinationFault, liesBelow } from "../bundle/destinations.ts";
import { byDepth, isInSandbox, memoryOptions, type VolumePlaces, volumeOf } from "../bundle/mounts.ts";
import { BerthError, invalidRequest, show } from "../errors.ts";
import { HOSTS_PATH, needsHostsFile } from "../bundle/hosts.ts";
import { ensureDirInRoot, ensureFileInRoot, FileInRootError } from "../host/files.ts";
import type { NodePaths } from "../paths.ts";
import type { AdapterName } from "../runtime/runtime.ts";
import type { SandboxVolumes } from "../volume/volumes.ts";
import type { HostPaths } from "./host-paths.ts";
import type { ContainerSpec, SandboxSpec } from "./spec.ts";

/** A sandbox whose volumes are meant. */
interface Subject {
  readonly id: string;
  readonly spec: SandboxSpec;
  /** Absent: each as it was asked for. */
  readonly hostPaths?: HostPaths | undefined;
}

/** Where volumes stand on the node: but for host paths said by ids alone, so that rendering offline says the same. */
export function volumePlaces(paths: NodePaths, { id, spec, hostPaths = {} }: Subject): VolumePlaces {
  return new Map(
    spec.volumes.flatMap(({ name, emptyDir, hostPath, image }) => {
      if (image) return [[name, join(paths.volumeMounts(id), name)] as const];
      if (hostPath) return [[name, hostPaths[name] ?? hostPath.path] as const];
      if (!emptyDir) return [];
      return [[name, join(emptyDir.medium === "Memory" ? paths.volumeMounts(id) : paths.volumes(id), name)] as const];
    }),
  );
}

interface VolumeInput {
  readonly adapter: AdapterName;
  /** Layer folders of images, lowest first, by volume name. */
  readonly layers: ReadonlyMap<string, readonly string[]>;
}

/** Makes those that the node has a part in. Throws ImageInvalid for an image that has no layers. */
export function makeVolumes(volumes: SandboxVolumes, { id, spec }: Subject, { adapter, layers }: VolumeInput): void {
  for (const volume of spec.volumes) {
    if (volume.image) {
      const dirs = layers.get(volume.name) ?? [];
      if (dirs.length === 0) throw new BerthError("ImageInvalid", `image ${volume.image.reference} of volume ${volume.name} has no layers`);
      volumes.mountImage(id, volume.name, dirs);
    }
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
    const refuse = refuseAt(`${field}.volumeMounts[${index}].mountPath`, path, "a path that no symbolic link leads elsewhere");
    const volume = volumeOf(spec, volumeMount);
    const source = isInSandbox(volume, adapter) ? undefined : volumes.get(volume.name);
    const isFile = volume.hostPath !== undefined && source !== undefined && !statSync(source).isDirectory();
    // runc gives a tmpfs the mode of the folder that it covers.
    const ensure = isFile ? ensureFileInRoot : folder(volume.tmpfs?.mode);
    const real = preparePoint(rootfs, { path, ensure }, covered, refuse);
    covered.push({ path, asked: path, source }, ...(real === path ? [] : [{ path: real, asked: path, source }]));
  }
  if (!needsHostsFile(spec)) return;
  const allowed = `an image and volumes where ${HOSTS_PATH} can be a file of its own, or no hostAliases`;
  const refuse = refuseAt("spec.hostAliases", HOSTS_PATH, allowed);
  const ofNode = container.volumeMounts.find((mount) => volumeOf(spec, mount).hostPath && liesBelow(HOSTS_PATH, mount.mountPath));
  if (ofNode) refuse(`lies in the host path at ${ofNode.mountPath}, where nothing is made`);
  preparePoint(rootfs, { path: HOSTS_PATH, ensure: ensureFileInRoot }, covered, refuse);
}

type Refuse = (rule: string) => never;

function refuseAt(field: string, path: string, allowed: string): Refuse {
  return (rule) => {
    throw invalidRequest([{ field, rule, value: show(path), allowed }]);
  };
}

/** What is to be covered, and what makes it in a root folder, answering where it really is. */
interface MountPoint {
  readonly path: string;
  readonly ensure: (root: string, path: string) => string;
}

const folder =
  (mode: number | undefined): MountPoint["ensure"] =>
  (root, path) =>
    ensureDirInRoot(root, path, mode);

/** Answers where it really is, as a path in the container. */
function preparePoint(rootfs: string, point: MountPoint, covered: readonly Covered[], refuse: Refuse): string {
  const outer = covered.findLast((other) => liesBelow(point.path, other.path));
  return outer ? pathInVolume(outer, point, refuse) : pathInRootfs(rootfs, point, covered, refuse);
}

function pathInRootfs(rootfs: string, point: MountPoint, covered: readonly Covered[], refuse: Refuse): string {
  const real = mountPoint(rootfs, point, refuse);
  const fault = destinationFault(real);
  if (fault !== undefined) refuse(`leads by a symbolic link of the image to ${real}, which ${fault}`);
  const other = covered.find((one) => real === one.path || liesBelow(real, one.path) || liesBelow(one.path, real));
  if (other) refuse(`is ${real} in the image, by a symbolic link, and in the way of the mount at ${other.asked}`);
  return real;
}

/** A link in a volume would mean another place to the runtime, which looks from the container's root. */
function pathInVolume(outer: Covered, { path, ensure }: MountPoint, refuse: Refuse): string {
  if (outer.source === undefined) return path;
  const below = path.slice(outer.path.length);
  if (mountPoint(outer.source, { path: below, ensure }, refuse) !== below)
    refuse(`leads through a symbolic link of the volume at ${outer.asked}`);
  return path;
}

/** Where it really is, as a path in the root. */
function mountPoint(root: string, { path, ensure }: MountPoint, refuse: Refuse): string {
  try {
    return ensure(root, path);
  } catch (error) {
    if (error instanceof FileInRootError) return refuse(`cannot be a mount point: ${error.message}`);
    // Only an image is read-only here.
    if (error instanceof Error && "code" in error && error.code === "EROFS")
      return refuse("cannot be a mount point: it is not in the image that is mounted above it, or not as it must be");
    throw error;
  }
}
