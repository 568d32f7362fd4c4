/** The part of the OCI runtime configuration (config.json, version 1.0.2) that berth writes. Key order is the order of writing. */

import type { CapabilitySets } from "./capabilities.ts";

export interface OciUser {
  uid: number;
  gid: number;
  additionalGids?: number[];
  umask?: number;
}

/** Values are bigint because RLIM_INFINITY (2^64 - 1) is no exact number. */
export interface OciRlimit {
  type: string;
  hard: bigint;
  soft: bigint;
}

export interface OciProcess {
  terminal: false;
  user: OciUser;
  args: string[];
  env: string[];
  cwd: string;
  capabilities: CapabilitySets;
  rlimits: OciRlimit[];
  noNewPrivileges?: true;
}

export interface OciMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

export interface OciNamespace {
  type: "pid" | "mount" | "cgroup" | "network" | "ipc" | "uts";
  /** Joined rather than made. */
  path?: string;
}

/** One condition on an argument. Values are bigint where a number would lose digits. */
export interface OciSeccompArg {
  index: number;
  value: number | bigint;
  valueTwo?: number | bigint;
  op: (typeof SECCOMP_OPERATORS)[number];
}

export interface OciSyscallRule {
  names: string[];
  action: (typeof SECCOMP_ACTIONS)[number];
  /** Only with SCMP_ACT_ERRNO and SCMP_ACT_TRACE. */
  errnoRet?: number;
  args?: OciSeccompArg[];
}

/** Config-linux, "Seccomp"; without listeners, whose other end berth would have to be. */
export interface OciSeccomp {
  defaultAction: (typeof SECCOMP_ACTIONS)[number];
  defaultErrnoRet?: number;
  architectures?: string[];
  syscalls: OciSyscallRule[];
}

export const SECCOMP_ACTIONS = [
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_LOG",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_TRAP",
] as const;

export const SECCOMP_OPERATORS = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
] as const;

export interface OciLinux {
  /** Absent where the runtime is told to leave cgroups alone. */
  cgroupsPath?: string;
  /** Always there: a current runsc's update crashes without it. */
  resources: { devices?: { allow: boolean; access: string }[] };
  namespaces: OciNamespace[];
  maskedPaths?: string[];
  readonlyPaths?: string[];
  seccomp?: OciSeccomp;
}

export interface OciConfig {
  /** crun 1.8 refuses newer ones. */
  ociVersion: "1.0.2";
  process: OciProcess;
  root: { path: string; readonly: boolean };
  hostname?: string;
  mounts: OciMount[];
  annotations: Record<string, string>;
  linux: OciLinux;
}

/** The bytes of config.json: two spaces, keys in the order in which they were set, a line feed at the end. */
export function configJson(config: OciConfig): string {
  return `${JSON.stringify(config, (_key, value: unknown) => (typeof value === "bigint" ? JSON.rawJSON(value.toString()) : value), 2)}\n`;
}

declare global {
  interface JSON {
    /** A text that JSON.stringify writes as it is (ECMAScript "JSON.parse source text access", in Node 22). */
    rawJSON(text: string): object;
  }
}
