/** What becomes of volumes and mounts that were asked for. Pure. */

import type { AdapterName } from "../runtime/runtime.ts";
import type { ContainerSpec, SandboxSpec } from "../sandbox/spec.ts";
import type { Volume, VolumeMount } from "../sandbox/volumes.ts";
import { BerthError, type Violation } from "../errors.ts";
import type { EnforcementEntry, EnforcementTraits } from "./enforcement.ts";
import { isInSandbox, volumeKind, volumeOf } from "./mounts.ts";

type Fate = Pick<EnforcementEntry, "enforced" | "mechanism" | "note">;

/** What a report on mounts depends on. */
export interface MountReportInput {
  readonly spec: SandboxSpec;
  readonly adapter: AdapterName;
  readonly traits: EnforcementTraits;
}

/** About the volumes themselves. */
export function volumeEnforcement(input: MountReportInput): EnforcementEntry[] {
  return input.spec.volumes.flatMap((volume, index) => {
    const about = { container: "", property: `volumes[${index}].${volumeKind(volume)}` };
    const sizeLimit = (volume.emptyDir ?? volume.tmpfs)?.sizeLimit;
    return [
      {
        ...about,
        requested: volume.emptyDir?.medium || volume.hostPath?.path || volume.image?.reference || volume.name,
        ...volumeFate(input, volume),
      },
      ...(sizeLimit === undefined
        ? []
        : [{ container: "", property: `${about.property}.sizeLimit`, requested: String(sizeLimit), ...sizeFate(volume) }]),
    ];
  });
}

function volumeFate({ adapter }: MountReportInput, volume: Volume): Fate {
  if (volume.hostPath) return { enforced: true, mechanism: "bound from the node", note: adapter === "runsc" ? SOCKETS_OF_NODE : "" };
  if (volume.tmpfs) return { enforced: true, mechanism: "a tmpfs of each container's own", note: "" };
  if (volume.image) return { enforced: true, mechanism: "the layers of the image, mounted read-only", note: "" };
  if (isInSandbox(volume, adapter)) return { enforced: true, mechanism: "one tmpfs in the sandbox's own kernel", note: "" };
  if (volume.emptyDir?.medium === "Memory") return { enforced: true, mechanism: "one tmpfs on the node", note: "" };
  const ofOwnKernel = "a FIFO or socket in it is not seen by other containers: use medium: Memory for these";
  return { enforced: true, mechanism: "a folder on the node's disk", note: adapter === "runsc" ? ofOwnKernel : "" };
}

const SOCKETS_OF_NODE = "nobody is reached by a socket, FIFO or device of it: runsc opens none of the node's";

function sizeFate({ emptyDir }: Volume): Fate {
  if (emptyDir?.medium !== "") return { enforced: true, mechanism: "size of the tmpfs", note: "" };
  return {
    enforced: false,
    mechanism: "nothing limits a folder on the node's disk yet",
    note: "use medium: Memory, or leave the limit out",
  };
}

/** About the mounts of one container. */
export function mountEnforcement(input: MountReportInput, container: ContainerSpec): EnforcementEntry[] {
  return container.volumeMounts.flatMap((volumeMount, index) => {
    const entry = (field: string, requested: string, fate: Fate): EnforcementEntry => ({
      container: container.name,
      property: `volumeMounts[${index}].${field}`,
      requested,
      ...fate,
    });
    const { readOnly, recursiveReadOnly, mountPropagation = "None" } = volumeMount;
    return [
      ...(readOnly ? [entry("readOnly", "true", { enforced: true, mechanism: kernelOf(input), note: "" })] : []),
      ...(recursiveReadOnly === "Disabled" ? [] : [entry("recursiveReadOnly", recursiveReadOnly, recursiveFate(input, volumeMount))]),
      ...(mountPropagation === "None"
        ? []
        : [
            entry("mountPropagation", mountPropagation, {
              enforced: true,
              mechanism: kernelOf(input),
              note: PROPAGATION_NOTES[mountPropagation],
            }),
          ]),
    ];
  });
}

const PROPAGATION_NOTES = {
  HostToContainer: "",
  Bidirectional: "mounts that the container makes on the node and leaves there outlive the sandbox",
} as const;

const kernelOf = ({ adapter }: MountReportInput): string => (adapter === "runsc" ? "the sandbox's own kernel" : "the host's kernel");

const OLD_RUNTIME = {
  mechanism: "this version of the runtime does not know the mount option rro",
  note: "use runc 1.1, crun 1.8 or newer, or runtime class runsc",
};

function recursiveFate(input: MountReportInput, volumeMount: VolumeMount): Fate {
  if (canBeRecursive(input, volumeMount)) return { enforced: true, mechanism: kernelOf(input), note: "" };
  return { enforced: false, ...OLD_RUNTIME };
}

/** For runsc a volume is one mount, whatever lies below it on the node; a tmpfs has nothing below it. */
function canBeRecursive({ spec, adapter, traits }: MountReportInput, volumeMount: VolumeMount): boolean {
  return adapter === "runsc" || traits.recursiveReadOnly || volumeOf(spec, volumeMount).tmpfs !== undefined;
}

/** Throws NotEnforceable, with every field, for mounts that the runtime cannot make as they must be. Nothing needs to be made for it. */
export function refuseImpossibleMounts(input: MountReportInput): void {
  const violations = input.spec.containers.flatMap(({ volumeMounts }, index) =>
    volumeMounts.flatMap((volumeMount, position): Violation[] => {
      if (volumeMount.recursiveReadOnly !== "Enabled" || canBeRecursive(input, volumeMount)) return [];
      const field = `spec.containers[${index}].volumeMounts[${position}].recursiveReadOnly`;
      return [{ field, rule: `cannot be: ${OLD_RUNTIME.mechanism}`, value: "Enabled", allowed: `IfPossible, or ${OLD_RUNTIME.note}` }];
    }),
  );
  if (violations.length === 0) return;
  const text = violations.map(({ field, rule, allowed }) => `${field} ${rule} (${allowed})`).join("; ");
  throw new BerthError("NotEnforceable", text, { violations });
}
