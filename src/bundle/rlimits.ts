/** Resource limits of a container's processes: names, normal form, what is written. Pure. Rules: docs/rules.md, "Limits". */

import type { OciRlimit } from "./oci.ts";

/** The kernel's 16 limits, by name (getrlimit(2)). */
export const RLIMIT_TYPES = [
  "RLIMIT_AS",
  "RLIMIT_CORE",
  "RLIMIT_CPU",
  "RLIMIT_DATA",
  "RLIMIT_FSIZE",
  "RLIMIT_LOCKS",
  "RLIMIT_MEMLOCK",
  "RLIMIT_MSGQUEUE",
  "RLIMIT_NICE",
  "RLIMIT_NOFILE",
  "RLIMIT_NPROC",
  "RLIMIT_RSS",
  "RLIMIT_RTPRIO",
  "RLIMIT_RTTIME",
  "RLIMIT_SIGPENDING",
  "RLIMIT_STACK",
] as const;

export type RlimitType = (typeof RLIMIT_TYPES)[number];

/** In the kernel's unit of the limit. */
export type RlimitValue = number | "unlimited";

/** What a container asks for; soft is not above hard. */
export interface Rlimit {
  readonly type: RlimitType;
  readonly soft: RlimitValue;
  readonly hard: RlimitValue;
}

const known = new Set<string>(RLIMIT_TYPES);

/** RLIMIT_X for RLIMIT_X or X. Undefined when the kernel has no such limit. */
export function normalizeRlimit(name: string): RlimitType | undefined {
  const whole = name.startsWith("RLIMIT_") ? name : `RLIMIT_${name}`;
  return known.has(whole) ? (whole as RlimitType) : undefined;
}

/** RLIM_INFINITY, as runtimes read it. */
export const NO_LIMIT = 2n ** 64n - 1n;

export function rlimitNumber(value: RlimitValue): bigint {
  return value === "unlimited" ? NO_LIMIT : BigInt(value);
}

const limit = (type: RlimitType, soft: bigint, hard = soft): OciRlimit => ({ type, hard, soft });

const DEFAULT_RLIMITS = [limit("RLIMIT_NOFILE", 1024n)];

/** runsc lets limits reach other containers of a sandbox (measured), so each writes all of them. */
const COMPLETE_RLIMITS: readonly OciRlimit[] = [
  limit("RLIMIT_AS", NO_LIMIT),
  limit("RLIMIT_CORE", 0n, NO_LIMIT),
  limit("RLIMIT_CPU", NO_LIMIT),
  limit("RLIMIT_DATA", NO_LIMIT),
  limit("RLIMIT_FSIZE", NO_LIMIT),
  limit("RLIMIT_LOCKS", NO_LIMIT),
  limit("RLIMIT_MEMLOCK", 65536n),
  limit("RLIMIT_MSGQUEUE", 819200n),
  limit("RLIMIT_NICE", 0n),
  limit("RLIMIT_NOFILE", 1024n),
  limit("RLIMIT_NPROC", NO_LIMIT),
  limit("RLIMIT_RSS", NO_LIMIT),
  limit("RLIMIT_RTPRIO", 0n),
  limit("RLIMIT_RTTIME", NO_LIMIT),
  limit("RLIMIT_SIGPENDING", NO_LIMIT),
  limit("RLIMIT_STACK", 8388608n, NO_LIMIT),
];

/** The limits of a container: those of every container of the runtime, each replaced in its place by what is asked for, then the rest of it. */
export function processRlimits(leaking: boolean, asked: readonly Rlimit[] = []): OciRlimit[] {
  const limits = new Map<string, OciRlimit>((leaking ? COMPLETE_RLIMITS : DEFAULT_RLIMITS).map((entry) => [entry.type, { ...entry }]));
  for (const { type, soft, hard } of asked) limits.set(type, limit(type, rlimitNumber(soft), rlimitNumber(hard)));
  return [...limits.values()];
}
