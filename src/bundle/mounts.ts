/** Mounts of an app beyond the baseline: the sandbox's volumes, by depth. Pure. */

import type { AdapterName } from "../runtime/runtime.ts";
import type { ContainerSpec, SandboxSpec } from "../sandbox/spec.ts";
import type { EmptyDirVolume, TmpfsVolume, Volume, VolumeMount } from "../sandbox/volumes.ts";
import { partsOf } from "./destinations.ts";
import type { OciMount } from "./oci.ts";

/** Where each volume of the sandbox stands on the node, by name; a tmpfs stands nowhere. */
export type VolumePlaces = ReadonlyMap<string, string>;

export interface AppMount {
  readonly mount: OciMount;
  /** Index in the container's volumeMounts. */
  readonly index: number;
}

/** Outer mounts first, so that none hides another. */
export function appMounts(spec: SandboxSpec, container: ContainerSpec, adapter: AdapterName, places: VolumePlaces): AppMount[] {
  return byDepth(container.volumeMounts).map(({ volumeMount, index }) => {
    const volume = volumeOf(spec, volumeMount);
    return { mount: mountOf(volume, volumeMount, adapter, places.get(volume.name) ?? ""), index };
  });
}

/** In the order in which they are mounted. */
export function byDepth(volumeMounts: readonly VolumeMount[]): { volumeMount: VolumeMount; index: number }[] {
  const depth = ({ mountPath }: VolumeMount): number => partsOf(mountPath).length;
  return volumeMounts
    .map((volumeMount, index) => ({ volumeMount, index }))
    .sort((one, other) => depth(one.volumeMount) - depth(other.volumeMount));
}

/** What a volume is. The parser knows that it is one thing. */
export function volumeKind(volume: Volume): VolumeKind {
  const kind = VOLUME_KINDS.find((candidate) => volume[candidate] !== undefined);
  if (kind === undefined) throw new Error(`the volume ${volume.name} has no kind`);
  return kind;
}

const VOLUME_KINDS = ["emptyDir", "tmpfs", "hostPath", "image"] as const satisfies readonly (keyof Volume)[];
type VolumeKind = (typeof VOLUME_KINDS)[number];

/** The volume that a mount names. The parser knows that there is one. */
export function volumeOf(spec: SandboxSpec, { name }: VolumeMount): Volume {
  const volume = spec.volumes.find((candidate) => candidate.name === name);
  if (!volume) throw new Error(`there is no volume ${name}`);
  return volume;
}

/**
 * Whether the volume is a tmpfs of the sandbox's own kernel. There a file of the node is shared between containers, but a FIFO or socket
 * in a folder of the node is not (measured).
 */
export function isInSandbox({ emptyDir }: Volume, adapter: AdapterName): boolean {
  return adapter === "runsc" && emptyDir?.medium === "Memory";
}

function mountOf(volume: Volume, volumeMount: VolumeMount, adapter: AdapterName, source: string): OciMount {
  const destination = volumeMount.mountPath;
  const access = volumeMount.readOnly ? "ro" : "rw";
  if (volume.tmpfs) return { destination, type: "tmpfs", source: "tmpfs", options: [...tmpfsOptions(volume.tmpfs), access] };
  if (isInSandbox(volume, adapter)) return { destination, type: "tmpfs", source, options: [access] };
  // What a runtime does not know of these it ignores, so "ro" stands beside "rro".
  const recursive = adapter !== "runsc" && volumeMount.recursiveReadOnly !== "Disabled" ? ["rro"] : [];
  return {
    destination,
    type: "bind",
    source,
    options: ["rbind", access, ...recursive, PROPAGATION[volumeMount.mountPropagation ?? "None"]],
  };
}

const PROPAGATION = { None: "rprivate", HostToContainer: "rslave", Bidirectional: "rshared" } as const;

/** linux.rootfsPropagation: what the runtime makes of the mounts that it binds from, of which none must cut the container off. */
export function rootfsPropagation({ volumeMounts }: ContainerSpec): { rootfsPropagation?: "rshared" | "rslave" } {
  const asked = volumeMounts.map(({ mountPropagation }) => mountPropagation);
  if (asked.includes("Bidirectional")) return { rootfsPropagation: "rshared" };
  return asked.includes("HostToContainer") ? { rootfsPropagation: "rslave" } : {};
}

function tmpfsOptions({ sizeLimit, mode }: TmpfsVolume): string[] {
  return ["nosuid", "nodev", `mode=${mode.toString(8).padStart(4, "0")}`, ...sizeOption(sizeLimit)];
}

/** Of the tmpfs that a memory volume is: everybody may write. */
export function memoryOptions({ sizeLimit }: EmptyDirVolume): string[] {
  return ["mode=0777", ...sizeOption(sizeLimit)];
}

function sizeOption(sizeLimit: number | undefined): string[] {
  return sizeLimit === undefined ? [] : [`size=${sizeLimit}`];
}

/** Of pause: by these runsc knows which mounts of its apps are one. A mount belongs to the volume whose source it names. */
export function sharedMountAnnotations(spec: SandboxSpec, adapter: AdapterName, places: VolumePlaces): Record<string, string> {
  const shared = spec.volumes.filter((volume) => isInSandbox(volume, adapter));
  return Object.fromEntries(
    shared.flatMap(({ name, emptyDir }) => {
      const key = (field: string): string => `dev.gvisor.spec.mount.${name}.${field}`;
      return [
        [key("source"), places.get(name) ?? ""],
        [key("type"), "tmpfs"],
        [key("share"), "pod"],
        [key("options"), ["rw", ...memoryOptions(emptyDir ?? { medium: "Memory" })].join(",")],
      ];
    }),
  );
}
