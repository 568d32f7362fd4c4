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

export interface OciLinux {
  /** Absent where the runtime is told to leave cgroups alone. */
  cgroupsPath?: string;
  /** Always there: a current runsc's update crashes without it. */
  resources: { devices?: { allow: boolean; access: string }[] };
  namespaces: OciNamespace[];
  maskedPaths?: string[];
  readonlyPaths?: string[];
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
