/** What a runtime or a node cannot give at all: refused before anything is touched. Pure. */

import { BerthError, type Violation } from "../errors.ts";
import type { AdapterName } from "../runtime/runtime.ts";
import type { ContainerSpec, SandboxSpec } from "../sandbox/spec.ts";
import { missingAppArmor, missingOnNode, type NodeGrants, rlimitCeiling } from "./enforcement.ts";
import { liesBelow } from "./destinations.ts";
import { HOSTS_PATH, needsHostsFile } from "./hosts.ts";
import { volumeOf } from "./mounts.ts";
import { askedCapabilities, effectiveSecurity, securityField } from "./security.ts";

/** Throws NotEnforceable with every field. Without a node only the runtime's own ways count. */
export function refuseImpossible(spec: SandboxSpec, adapter: AdapterName, node: NodeGrants | undefined): void {
  const violations = [
    ...sysctlsOfOwnKernel(spec, adapter),
    ...socketsOfNode(spec, adapter),
    ...spec.containers.flatMap((container, index) => [
      ...lackingCapabilities(container, index, adapter, node),
      ...highRlimits(container, index, adapter, node),
      ...devicesOfOwnKernel(container, index, adapter),
      ...propagationBeyond(spec, index, adapter),
      ...withinHostPaths(spec, container, index),
      ...unmaskedProc(container, index, adapter),
      ...lackingAppArmor(spec, index, adapter, node),
    ]),
  ];
  if (violations.length === 0) return;
  const text = violations.map(({ field, value, rule, allowed }) => `${field}: ${value}: ${rule} (${allowed})`).join("; ");
  throw new BerthError("NotEnforceable", `not possible${node ? " on this node" : ""}: ${text}`, { violations, stage: "runtime" });
}

/** runsc's kernel takes its settings from pause's process, which never changes. */
function sysctlsOfOwnKernel({ securityContext }: SandboxSpec, adapter: AdapterName): Violation[] {
  if (adapter !== "runsc") return [];
  return securityContext.sysctls.map(({ name }, index) => ({
    field: `spec.securityContext.sysctls[${index}]`,
    rule: "is a setting of the node's kernel, which runsc does not run on",
    value: name,
    allowed: "leave it out, or use a runtime class of runc or crun",
  }));
}

/** runsc makes the node, with nothing of the host behind it: ENXIO, or the driver of its own kernel (measured with releases of 2024 and 2026). */
function devicesOfOwnKernel({ devices }: ContainerSpec, index: number, adapter: AdapterName): Violation[] {
  if (adapter !== "runsc") return [];
  return devices.map(({ path }, position) => ({
    field: `spec.containers[${index}].devices[${position}]`,
    rule: "is a device of the node, which runsc lets no container at",
    value: path,
    allowed: "leave it out, or use a runtime class of runc or crun",
  }));
}

/** runc and crun die of these. */
function lackingCapabilities(
  { securityContext }: ContainerSpec,
  index: number,
  adapter: AdapterName,
  node: NodeGrants | undefined,
): Violation[] {
  const { capabilities, privileged } = securityContext;
  return missingOnNode(askedCapabilities(securityContext), adapter, node).map((name) => {
    const added = capabilities.add.includes(name) || capabilities.add.includes("ALL");
    const asked = added || privileged === true;
    const field = added ? "capabilities.add" : asked ? "privileged" : "capabilities.drop";
    return {
      field: `spec.containers[${index}].securityContext.${field}`,
      rule: `berthd's own bounding set lacks it, so ${adapter} cannot give it`,
      value: name,
      allowed: `${asked ? "leave it out" : "drop it, as every container has it by default"}, give berthd the capability, or use runtime class runsc`,
    };
  });
}

function highRlimits({ rlimits }: ContainerSpec, index: number, adapter: AdapterName, node: NodeGrants | undefined): Violation[] {
  return rlimits.flatMap((limit, position) => {
    const highest = rlimitCeiling(limit, adapter, node);
    if (highest === undefined) return [];
    return [
      {
        field: `spec.containers[${index}].rlimits[${position}].hard`,
        rule: `is above berthd's own hard limit of ${limit.type}, so ${adapter} cannot give it`,
        value: String(limit.hard),
        allowed: `at most ${highest}; else start berthd with a higher limit, or use runtime class runsc`,
      },
    ];
  });
}

/** runsc opens none of the node's: only its own kernel's. */
function socketsOfNode({ volumes }: SandboxSpec, adapter: AdapterName): Violation[] {
  return volumes.flatMap(({ hostPath }, index) => {
    const ofNode = ["Socket", "CharDevice", "BlockDevice"].includes(hostPath?.type ?? "");
    if (adapter !== "runsc" || hostPath === undefined || !ofNode) return [];
    return [
      {
        field: `spec.volumes[${index}].hostPath.type`,
        rule: "is what runsc lets no container at",
        value: hostPath.type,
        allowed: "Directory or File, or a runtime class of runc or crun",
      },
    ];
  });
}

/** runsc has none; for runc and crun it is that of the node's kernel. */
function propagationBeyond(spec: SandboxSpec, index: number, adapter: AdapterName): Violation[] {
  const { volumeMounts = [], securityContext } = spec.containers[index] ?? {};
  return volumeMounts.flatMap((volumeMount, position): Violation[] => {
    const { mountPropagation = "None" } = volumeMount;
    const field = `spec.containers[${index}].volumeMounts[${position}].mountPropagation`;
    const refused = (rule: string, allowed: string): Violation[] => [{ field, rule, value: mountPropagation, allowed }];
    if (mountPropagation === "None") return [];
    if (adapter === "runsc")
      return refused("is not possible under runsc, which has mounts of its own", "None, or a runtime class of runc or crun");
    if (!volumeOf(spec, volumeMount).hostPath) return refused("is only possible for a host path", "None");
    if (mountPropagation === "Bidirectional" && securityContext?.privileged !== true)
      return refused("is only for a privileged container", "None or HostToContainer");
    return [];
  });
}

/** The mount point would have to be made on the node. */
function withinHostPaths(spec: SandboxSpec, { volumeMounts }: ContainerSpec, index: number): Violation[] {
  const ofNode = volumeMounts.filter((volumeMount) => volumeOf(spec, volumeMount).hostPath);
  const points = [
    ...volumeMounts.map(({ mountPath }, position) => ({
      mountPath,
      field: `spec.containers[${index}].volumeMounts[${position}].mountPath`,
    })),
    ...(needsHostsFile(spec) ? [{ mountPath: HOSTS_PATH, field: "spec.hostAliases" }] : []),
  ];
  return points.flatMap(({ mountPath, field }) => {
    const outer = ofNode.find((other) => liesBelow(mountPath, other.mountPath));
    if (!outer) return [];
    return [
      {
        field,
        rule: `lies in the host path at ${outer.mountPath}, where berth makes no mount point`,
        value: mountPath,
        allowed: "a path outside of it, or the host path elsewhere",
      },
    ];
  });
}

/** Measured: with the default capabilities, user 0 and nothing masked, a container of runc wrote the host's core pattern. */
function unmaskedProc({ securityContext }: ContainerSpec, index: number, adapter: AdapterName): Violation[] {
  if (adapter === "runsc" || securityContext.procMount !== "Unmasked") return [];
  return [
    {
      field: `spec.containers[${index}].securityContext.procMount`,
      rule: `is never given by ${adapter}, whose /proc is that of the host's kernel`,
      value: "Unmasked",
      allowed: "Default, or runtime class runsc, which has a /proc of its own",
    },
  ];
}

function lackingAppArmor(spec: SandboxSpec, index: number, adapter: AdapterName, node: NodeGrants | undefined): Violation[] {
  const container = spec.containers[index];
  if (adapter === "runsc" || node === undefined || container === undefined) return [];
  const { appArmorProfile } = effectiveSecurity(spec, container);
  const missing = missingAppArmor(appArmorProfile?.type, node);
  if (missing === undefined) return [];
  return [
    { field: securityField(spec, index, "appArmorProfile"), value: appArmorProfile?.localhostProfile ?? "RuntimeDefault", ...missing },
  ];
}
