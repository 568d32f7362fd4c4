import { readFile } from "node:fs/promises";
import type { RuntimeClassInfo } from "../runtime/registry.ts";
import { VERSION } from "./version.ts";

export interface NodeInfo {
  version: string;
  hostname: string;
  operatingSystem: string;
  kernelVersion: string;
  architecture: string;
  cpus: number;
  memoryBytes: number;
  cgroupLayout: "v1" | "v2" | "hybrid" | "none";
  runtimeClasses: RuntimeClassInfo[];
}

/** Tells what the node is and can do. */
export class NodeInventory {
  readonly #runtimeClasses: () => Promise<RuntimeClassInfo[]>;
  #operatingSystem: Promise<string> | undefined;

  constructor(runtimeClasses: () => Promise<RuntimeClassInfo[]>) {
    this.#runtimeClasses = runtimeClasses;
  }

  async info(): Promise<NodeInfo> {
    // It forks a dozen times and never changes while berthd runs: asked once.
    this.#operatingSystem ??= operatingSystem();
    const [system, hostname, kernelVersion, cpuinfo, meminfo, mounts, runtimeClasses] = await Promise.all([
      this.#operatingSystem,
      readFile("/proc/sys/kernel/hostname", "utf8"),
      readFile("/proc/sys/kernel/osrelease", "utf8"),
      readFile("/proc/cpuinfo", "utf8"),
      readFile("/proc/meminfo", "utf8"),
      readFile("/proc/self/mounts", "utf8"),
      this.#runtimeClasses(),
    ]);
    return {
      version: VERSION,
      hostname: hostname.trim(),
      operatingSystem: system,
      kernelVersion: kernelVersion.trim(),
      architecture: process.arch,
      cpus: countCpus(cpuinfo),
      memoryBytes: totalMemory(meminfo),
      cgroupLayout: cgroupLayout(mounts),
      runtimeClasses,
    };
  }
}

/** "Debian GNU/Linux 12"; falls back to the kernel's name where nothing says more. */
async function operatingSystem(): Promise<string> {
  const { default: systeminformation } = await import("systeminformation");
  const { distro, release } = await systeminformation.osInfo().catch(() => ({ distro: "", release: "" }));
  return `${distro} ${release}`.trim() || process.platform;
}

export function countCpus(cpuinfo: string): number {
  return Math.max(1, cpuinfo.match(/^processor\s*:/gm)?.length ?? 0);
}

/** MemTotal of /proc/meminfo, in bytes. */
export function totalMemory(meminfo: string): number {
  return Number(/^MemTotal:\s*(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
}

/** Reads /proc/mounts: hybrid has hierarchies of both versions. */
export function cgroupLayout(mounts: string): NodeInfo["cgroupLayout"] {
  const types = new Set(mounts.split("\n").map((line) => line.split(" ")[2]));
  if (types.has("cgroup")) return types.has("cgroup2") ? "hybrid" : "v1";
  return types.has("cgroup2") ? "v2" : "none";
}
