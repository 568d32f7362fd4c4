import { existsSync, readFileSync } from "node:fs";
import { capabilitiesOfMask } from "../bundle/capabilities.ts";
import type { NodeGrants } from "../bundle/enforcement.ts";
import { NO_LIMIT, type RlimitType } from "../bundle/rlimits.ts";

/** What this process can give to containers under a runtime that shares the kernel. */
export function nodeGrants(): NodeGrants {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const capabilities = new Set(capabilitiesOfMask(mask));
  const own = hardLimits(readFileSync("/proc/self/limits", "utf8"));
  const mayRaise = capabilities.has("CAP_SYS_RESOURCE");
  const rlimits = new Map([...own].map(([type, hard]) => [type, mayRaise ? NO_LIMIT : hard] as const));
  // The one limit that no capability lifts.
  const files = BigInt(readFileSync("/proc/sys/fs/nr_open", "utf8").trim());
  const nofile = rlimits.get("RLIMIT_NOFILE") ?? files;
  const appArmor = existsSync("/sys/module/apparmor/parameters/enabled")
    ? readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y")
    : false;
  return { capabilities, appArmor, rlimits: rlimits.set("RLIMIT_NOFILE", nofile < files ? nofile : files) };
}

/** Reads /proc/PID/limits. */
export function hardLimits(text: string): Map<RlimitType, bigint> {
  const limits = new Map<RlimitType, bigint>();
  for (const [name, type] of NAMES) {
    const hard = new RegExp(String.raw`^Max ${name} +\S+ +(\S+)`, "m").exec(text)?.[1];
    if (hard !== undefined) limits.set(type, hard === "unlimited" ? NO_LIMIT : BigInt(hard));
  }
  return limits;
}

/** As the kernel names them there, fs/proc/base.c. */
const NAMES: readonly (readonly [string, RlimitType])[] = [
  ["cpu time", "RLIMIT_CPU"],
  ["file size", "RLIMIT_FSIZE"],
  ["data size", "RLIMIT_DATA"],
  ["stack size", "RLIMIT_STACK"],
  ["core file size", "RLIMIT_CORE"],
  ["resident set", "RLIMIT_RSS"],
  ["processes", "RLIMIT_NPROC"],
  ["open files", "RLIMIT_NOFILE"],
  ["locked memory", "RLIMIT_MEMLOCK"],
  ["address space", "RLIMIT_AS"],
  ["file locks", "RLIMIT_LOCKS"],
  ["pending signals", "RLIMIT_SIGPENDING"],
  ["msgqueue size", "RLIMIT_MSGQUEUE"],
  ["nice priority", "RLIMIT_NICE"],
  ["realtime priority", "RLIMIT_RTPRIO"],
  ["realtime timeout", "RLIMIT_RTTIME"],
];
