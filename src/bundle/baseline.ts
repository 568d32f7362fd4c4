/** What every container of a runtime class has, whatever the spec says: mounts, namespaces, masks, devices. docs/rules.md lists the same. Pure. */

import type { OciLinux, OciMount, OciNamespace } from "./oci.ts";

/** Whether a runtime shares the host's kernel decides how much of it must be kept from its containers. */
export type Isolation = "own-kernel" | "shared-kernel";

export interface NamespacePaths {
  readonly net: string;
  readonly ipc: string;
  readonly uts: string;
}

/** Default mounts, by depth. */
export function baselineMounts(isolation: Isolation): OciMount[] {
  return structuredClone([...(isolation === "own-kernel" ? OWN_KERNEL_MOUNTS : SHARED_KERNEL_MOUNTS)]);
}

export interface LinuxInput {
  readonly isolation: Isolation;
  readonly namespaces: NamespacePaths;
  readonly cgroupsPath: string | undefined;
}

/** The linux section: own pid and mount namespaces, net, ipc and uts joined, which berthd made and pinned before pause starts. */
export function baselineLinux({ isolation, namespaces, cgroupsPath }: LinuxInput): OciLinux {
  const joined: OciNamespace[] = [
    { type: "pid" },
    { type: "mount" },
    { type: "network", path: namespaces.net },
    { type: "ipc", path: namespaces.ipc },
    { type: "uts", path: namespaces.uts },
  ];
  const cgroup = cgroupsPath === undefined ? {} : { cgroupsPath };
  if (isolation === "own-kernel") return { ...cgroup, resources: {}, namespaces: joined };
  return {
    ...cgroup,
    // Nothing but the standard devices, which the runtimes allow by themselves.
    resources: { devices: [{ allow: false, access: "rwm" }] },
    namespaces: [...joined, { type: "cgroup" }],
    maskedPaths: [...MASKED_PATHS],
    readonlyPaths: [...READONLY_PATHS],
  };
}

const mount = (destination: string, type: OciMount["type"], source: string, options: string[]): OciMount => ({
  destination,
  type,
  source,
  options,
});

/** The guest kernel's own; nothing of the host is behind them. */
const OWN_KERNEL_MOUNTS: readonly OciMount[] = [
  mount("/proc", "proc", "proc", []),
  mount("/dev", "tmpfs", "tmpfs", []),
  mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
  mount("/dev/pts", "devpts", "devpts", []),
  mount("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
];

/** As container engines mount them: /sys and the cgroups read-only. */
const SHARED_KERNEL_MOUNTS: readonly OciMount[] = [
  mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
  mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
  mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
  mount("/dev/pts", "devpts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
  mount("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
  mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
  mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
];

/** Parts of /proc and /sys through which a container could read of or write to the host. */
const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
