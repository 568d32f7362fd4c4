/**
 * The part of the OCI runtime configuration (config.json, version 1.0.2) that berth writes, and every rule that it keeps there. The types
 * come from the schema; `configJson` lets nothing else out. Titles in comments are sections of the specification: of config.md, with
 * "Linux: " of config-linux.md. Key order is the order of writing, which render sets.
 */

import * as z from "zod";
import { BerthError } from "../errors.ts";
import { KERNEL_CAPABILITIES } from "./capabilities.ts";
import { pointerOf } from "./pointer.ts";
import { RLIMIT_TYPES } from "./rlimits.ts";

/** Highest user and group id: runtimes read larger ones as root or as nobody (measured; crun runs 4294967295 as root). */
export const MAX_ID = 2_147_483_647;

/** Highest mode creation mask. */
export const MAX_UMASK = 0o777;

const noNul = z.string().regex(/^[^\0]*$/, { error: "contains a NUL character" });
const absolutePath = z.string().regex(/^\/[^\0]*$/, { error: "is not an absolute path" });
const cleanPath = z.string().refine(isClean, { error: "is not an absolute path without '//', '.', '..' and '/' at the end" });

/** The form that a path has only one of. "/" itself is no place to mount over. */
function isClean(path: string): boolean {
  const [first, ...parts] = path.split("/");
  return first === "" && !path.includes("\0") && parts.every((part) => part !== "" && part !== "." && part !== "..");
}

const isUnique = (entries: readonly unknown[]): boolean => new Set(entries).size === entries.length;

const id = z.int().min(0).max(MAX_ID);

/** "User": additionalGids has the primary group first (CVE-2023-25173). */
const user = z
  .strictObject({
    uid: id,
    gid: id,
    additionalGids: z.array(id).refine(isUnique, { error: "has a group twice" }).exactOptional(),
    umask: z.int().min(0).max(MAX_UMASK).exactOptional(),
  })
  .refine(({ gid, additionalGids }) => additionalGids === undefined || additionalGids[0] === gid, {
    error: "has not the primary group first",
    path: ["additionalGids"],
  });

/** RLIM_INFINITY is 2^64 - 1, which is no exact number. */
const limit = z
  .bigint()
  .min(0n)
  .max(2n ** 64n - 1n);

/** "POSIX process": rlimits. */
const rlimit = z
  .strictObject({ type: z.enum(RLIMIT_TYPES), hard: limit, soft: limit })
  .refine(({ hard, soft }) => soft <= hard, { error: "is above the hard limit", path: ["soft"] });

const capabilitySet = z.array(z.enum(KERNEL_CAPABILITIES)).refine(isUnique, { error: "has a capability twice" });

const within = (inner: readonly string[], outer: readonly string[]): boolean => inner.every((name) => outer.includes(name));

/** "Linux Process": capabilities. The kernel takes away in silence what breaks these rules, or the runtime dies of it. */
const capabilities = z
  .strictObject({
    bounding: capabilitySet,
    effective: capabilitySet,
    inheritable: capabilitySet,
    permitted: capabilitySet,
    ambient: capabilitySet.exactOptional(),
  })
  .superRefine(({ bounding, effective, inheritable, permitted, ambient = [] }, context) => {
    const refuse = (set: string, message: string): void => context.addIssue({ code: "custom", path: [set], message });
    if (!within(permitted, bounding)) refuse("permitted", "has a capability that the bounding set lacks");
    if (effective.length !== permitted.length || !within(effective, permitted)) refuse("effective", "is not the permitted set");
    if (!within(inheritable, bounding)) refuse("inheritable", "has a capability that the bounding set lacks");
    if (!within(ambient, inheritable) || !within(ambient, permitted))
      refuse("ambient", "has a capability that the inheritable or the permitted set lacks");
  });

/** "Process". */
const process = z.strictObject({
  /** "Process". */
  terminal: z.literal(false),
  user,
  /** "POSIX process": execvp's argv, at least one. */
  args: z.array(noNul).min(1),
  /** "Process": NAME=VALUE. */
  env: z.array(z.string().regex(/^[^=\0]+=[^\0]*$/, { error: "is not NAME=VALUE" })),
  /** "Process". */
  cwd: absolutePath,
  capabilities,
  rlimits: z.array(rlimit).refine((entries) => isUnique(entries.map(({ type }) => type)), { error: "has a type twice" }),
  /** "Linux Process". */
  noNewPrivileges: z.literal(true).exactOptional(),
  /** "Linux Process": a profile that the kernel has loaded. */
  apparmorProfile: noNul.min(1).exactOptional(),
});

/** "Root". */
const root = z.strictObject({ path: absolutePath, readonly: z.boolean() });

/** "Mounts". */
const mount = z.strictObject({
  /** Where in the container. */
  destination: cleanPath,
  /** "POSIX-platform Mounts": a filesystem of the kernel, or bind for a folder of the node. */
  type: z.enum(["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "bind"]),
  /** "Mounts". */
  source: noNul.min(1),
  /** "Linux mount options": runtimes join those of the filesystem with commas. */
  options: z.array(z.string().regex(/^[^,\0]+$/, { error: "is not one option" })),
});

/** "Linux: Namespaces". */
const namespace = z.strictObject({
  type: z.enum(["pid", "mount", "cgroup", "network", "ipc", "uts"]),
  /** Joined rather than made. */
  path: absolutePath.exactOptional(),
});

/** "Linux: Allowed Device list". */
const deviceNumber = z.int().min(0).max(0xffff_ffff);
const deviceRule = z.strictObject({
  allow: z.boolean(),
  type: z.enum(["c", "b"]).exactOptional(),
  major: deviceNumber.exactOptional(),
  minor: deviceNumber.exactOptional(),
  access: z.string().regex(/^r?w?m?$/),
});

/** "Linux: Devices". */
const device = z.strictObject({
  path: cleanPath,
  type: z.enum(["c", "b"]),
  major: deviceNumber,
  minor: deviceNumber,
  fileMode: z.int().min(0).max(0o777),
  uid: id,
  gid: id,
});

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

const SECCOMP_OPERATORS = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
] as const;

const SECCOMP_ARCHITECTURES = [
  ...["X86", "X86_64", "X32", "ARM", "AARCH64", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC", "PPC64"],
  ...["PPC64LE", "S390", "S390X", "PARISC", "PARISC64", "RISCV64"],
].map((name) => `SCMP_ARCH_${name}`);

const action = z.enum(SECCOMP_ACTIONS, { error: "is not an action that berth knows" });
/** The kernel keeps no more of it than 4095. */
const errno = z.int().min(0).max(4095);
/** Values are bigint where a number would lose digits. */
const word = z.union([z.int().nonnegative(), limit], { error: "is not a whole number of 64 bits" });

/** The specification: a runtime must fail when another action has an error number. */
function errnoFits(action: string, errnoRet: number | undefined): boolean {
  return errnoRet === undefined || action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
}
const ERRNO_MISPLACED = "is only used with SCMP_ACT_ERRNO and SCMP_ACT_TRACE";

/** One condition on an argument. */
const seccompArg = z.strictObject({
  index: z.int().min(0).max(5),
  value: word,
  valueTwo: word.exactOptional(),
  op: z.enum(SECCOMP_OPERATORS, { error: "is not an operator of the specification" }),
});

const syscallRule = z
  .strictObject({
    names: z.array(z.string().min(1)).min(1),
    action,
    errnoRet: errno.exactOptional(),
    args: z.array(seccompArg).exactOptional(),
  })
  .refine(({ action, errnoRet }) => errnoFits(action, errnoRet), { error: ERRNO_MISPLACED, path: ["errnoRet"] });

/** "Linux: Seccomp"; without listeners, whose other end berth would have to be. */
export const ociSeccomp = z
  .strictObject({
    defaultAction: action,
    defaultErrnoRet: errno.exactOptional(),
    architectures: z.array(z.enum(SECCOMP_ARCHITECTURES, { error: "is not an architecture of the specification" })).exactOptional(),
    syscalls: z.array(syscallRule).prefault([]),
  })
  .refine(({ defaultAction, defaultErrnoRet }) => errnoFits(defaultAction, defaultErrnoRet), {
    error: ERRNO_MISPLACED,
    path: ["defaultErrnoRet"],
  });

/** "Linux-specific Container Configuration". */
const linux = z.strictObject({
  /** "Linux: Cgroups Path". Absent where the runtime is told to leave cgroups alone. */
  cgroupsPath: cleanPath.exactOptional(),
  devices: z.array(device).exactOptional(),
  /** "Linux: Control groups". Always there: a current runsc's update crashes without it. */
  resources: z.strictObject({ devices: z.array(deviceRule).exactOptional() }),
  namespaces: z.array(namespace).refine((entries) => isUnique(entries.map(({ type }) => type)), { error: "has a type twice" }),
  /** "Linux: Masked Paths". */
  maskedPaths: z.array(cleanPath).exactOptional(),
  /** "Linux: Readonly Paths". */
  readonlyPaths: z.array(cleanPath).exactOptional(),
  seccomp: ociSeccomp.exactOptional(),
  /** "Linux: Rootfs Mount Propagation". Absent: slave. */
  rootfsPropagation: z.enum(["rshared", "rslave"]).exactOptional(),
});

const ociConfig = z.strictObject({
  /** "Specification version". crun 1.8 refuses newer ones. */
  ociVersion: z.literal("1.0.2"),
  process,
  root,
  /** "Hostname": of the sandbox, so only pause's. */
  hostname: z
    .string()
    .regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, { error: "is not a DNS label" })
    .exactOptional(),
  mounts: z.array(mount),
  /** "Annotations": keys are not empty. */
  annotations: z.record(noNul.min(1), noNul),
  linux,
});

export type OciConfig = z.infer<typeof ociConfig>;
export type OciProcess = z.infer<typeof process>;
export type OciUser = z.infer<typeof user>;
export type OciDevice = z.infer<typeof device>;
export type OciDeviceRule = z.infer<typeof deviceRule>;
export type OciRlimit = z.infer<typeof rlimit>;
export type OciCapabilities = z.infer<typeof capabilities>;
export type OciMount = z.infer<typeof mount>;
export type OciLinux = z.infer<typeof linux>;
export type OciNamespace = z.infer<typeof namespace>;
export type OciSeccomp = z.infer<typeof ociSeccomp>;
export type OciSyscallRule = z.infer<typeof syscallRule>;
export type OciSeccompArg = z.infer<typeof seccompArg>;

/**
 * The bytes of config.json: two spaces, keys in the order in which they were set, a line feed at the end. Throws Internal, which names
 * pointer and rule, for what breaks the schema: that is a fault of berth, and no runtime sees it. Never a value: it may be a secret.
 */
export function configJson(config: OciConfig): string {
  const checked = ociConfig.safeParse(config);
  if (!checked.success) {
    const faults = checked.error.issues.flatMap(faultsOf);
    throw new BerthError("Internal", `berth made a config.json that it must not write: ${faults.slice(0, 5).join("; ")}`);
  }
  return `${stringifyExact(config)}\n`;
}

/** JSON over lines; bigint is written with all its digits. */
export function stringifyExact(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? JSON.rawJSON(inner.toString()) : inner), 2);
}

/** Reads JSON; a whole number of which a number would lose digits is a bigint. Throws SyntaxError. */
export function parseExact(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) => {
    const source = context?.source;
    const loses = typeof value === "number" && !Number.isSafeInteger(value) && source !== undefined && /^\d{1,20}$/.test(source);
    return loses ? BigInt(source) : value;
  });
}

/** Pointer and rule; each unknown key has a pointer of its own. */
function faultsOf(issue: z.core.$ZodIssue): string[] {
  if (issue.code !== "unrecognized_keys") return [`${pointerOf(issue.path)} ${issue.message}`];
  return issue.keys.map((key) => `${pointerOf([...issue.path, key])} is not in the schema`);
}

declare global {
  interface JSON {
    /** A text that JSON.stringify writes as it is (ECMAScript "JSON.parse source text access", in Node 22). */
    rawJSON(text: string): object;
    /** The reviver is also told how a value that is no object was written. */
    parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  }
}
