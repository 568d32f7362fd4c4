/** Capability sets: names, normal form, and how a container's sets come about. Pure. Rules: docs/rules.md, "Capabilities". */

import type { OciCapabilities } from "./oci.ts";

/** The kernel's 41 capabilities in its own order (capabilities(7), include/uapi/linux/capability.h). */
export const KERNEL_CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
] as const;

export type Capability = (typeof KERNEL_CAPABILITIES)[number];

/** What a container has when nothing is asked for, unless the node gives more, and what pause always has. */
export const DEFAULT_CAPABILITIES: readonly Capability[] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/** What a node may give by default: the three above, or what container engines give, which most images that run as root need. */
export type DefaultCapabilities = "seed" | "kubernetes";

const DEFAULT_SETS: Readonly<Record<DefaultCapabilities, readonly Capability[]>> = {
  seed: DEFAULT_CAPABILITIES,
  kubernetes: [
    ...DEFAULT_CAPABILITIES,
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_MKNOD",
    "CAP_SETFCAP",
  ],
};

/** How the inheritable set is made: equal to the others, or (CVE-2022-24769, CVE-2022-27652) exactly the ambient list. */
export type CapabilityMode = "merged" | "no-inheritable";

/** What a container asks for, in normal form. */
export interface CapabilityRequest {
  readonly add: readonly (Capability | "ALL")[];
  readonly drop: readonly (Capability | "ALL")[];
  readonly ambient: "never" | "auto" | readonly Capability[];
  /** What the node starts from; a request never says it. Absent: seed. */
  readonly defaults?: DefaultCapabilities;
}

const known = new Set<string>(KERNEL_CAPABILITIES);

/** Brings one entry to the form CAP_X or ALL: trims, upper-cases, adds the prefix. Undefined when the kernel has no such capability. */
export function normalizeCapability(entry: string): Capability | "ALL" | undefined {
  const trimmed = entry.trim();
  // Upper case makes ASCII letters of some that are not: of U+017F, "ſ", an S.
  if (!/^[A-Za-z_]+$/.test(trimmed)) return undefined;
  const upper = trimmed.toUpperCase();
  if (upper === "ALL") return "ALL";
  const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  return known.has(name) ? (name as Capability) : undefined;
}

/** What a container with this request has where it asks for nothing. */
export function defaultCapabilitiesOf({ defaults = "seed" }: Pick<CapabilityRequest, "defaults">): readonly Capability[] {
  return DEFAULT_SETS[defaults];
}

/** The container's final set: default, then ALL in add and drop, then single adds, then single drops. Order: default first, then as added. */
export function finalCapabilities(request: Pick<CapabilityRequest, "add" | "drop" | "defaults">): Capability[] {
  const dropAll = request.drop.includes("ALL");
  const addAll = request.add.includes("ALL");
  const base: readonly Capability[] = dropAll ? [] : addAll ? KERNEL_CAPABILITIES : defaultCapabilitiesOf(request);
  const dropped = new Set(request.drop);
  const adds = request.add.filter((entry) => entry !== "ALL");
  return [...new Set([...base, ...adds])].filter((name) => !dropped.has(name));
}

/** Ambient capabilities of a container with this user and final set, in the order of the final set. */
export function ambientCapabilities(request: CapabilityRequest, uid: number, final: readonly Capability[]): Capability[] {
  if (request.ambient === "never") return [];
  if (request.ambient === "auto") {
    if (uid === 0) return [];
    if (request.add.includes("ALL")) return [...final];
    const asked = new Set<string>(request.add);
    return final.filter((name) => asked.has(name) || !defaultCapabilitiesOf(request).includes(name));
  }
  const wanted = new Set<string>(request.ambient);
  return final.filter((name) => wanted.has(name));
}

/** The five sets of a container. Every list is an array of its own. */
export function capabilitySets(request: CapabilityRequest, uid: number, mode: CapabilityMode): OciCapabilities {
  const final = finalCapabilities(request);
  const ambient = ambientCapabilities(request, uid, final);
  return {
    bounding: [...final],
    effective: [...final],
    inheritable: mode === "merged" ? [...final] : [...ambient],
    permitted: [...final],
    ...(ambient.length > 0 ? { ambient } : {}),
  };
}

/** Names of the bits of a mask as /proc/PID/status prints it, such as 000001ffffffffff. */
export function capabilitiesOfMask(hex: string): Capability[] {
  const mask = BigInt(`0x${hex}`);
  return KERNEL_CAPABILITIES.filter((_name, bit) => ((mask >> BigInt(bit)) & 1n) === 1n);
}
