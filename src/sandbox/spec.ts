/** The one type of a request, and the one way to it: wire messages and files both pass parseSandboxRequest. Pure. */

import * as z from "zod";
import { type Capability, type CapabilityRequest, finalCapabilities, normalizeCapability } from "../bundle/capabilities.ts";
import { MAX_ID, MAX_UMASK } from "../bundle/oci.ts";
import { type DeviceRequest, STANDARD_DEVICES } from "../bundle/devices.ts";
import { leadsThroughProc } from "../bundle/process.ts";
import { normalizeRlimit, type Rlimit, RLIMIT_TYPES, type RlimitType, type RlimitValue, rlimitNumber } from "../bundle/rlimits.ts";
import { namespaceOf, type Sysctl } from "../bundle/sysctls.ts";
import { invalidRequest, show, type Violation } from "../errors.ts";
import { annotationFault, RESERVED_PREFIXES } from "./annotations.ts";
import { violationsOf } from "../violations.ts";
import { hidesHosts, type HostAlias, hostAliases } from "./host-aliases.ts";
import { DNS_LABEL, dnsLabel, imageReference, isDnsLabel, rule, text } from "./texts.ts";
import { type Volume, type VolumeMount, volumeMounts, volumes } from "./volumes.ts";

export interface EnvVar {
  readonly name: string;
  readonly value: string;
}

/** Which system calls a container may make. */
export type SeccompProfile =
  | { readonly type: "RuntimeDefault" | "Unconfined"; readonly localhostProfile?: undefined }
  /** A path in the node's profile folder. */
  | { readonly type: "Localhost"; readonly localhostProfile: string };

/** What AppArmor confines a container's processes to. */
export type AppArmorProfile =
  | { readonly type: "RuntimeDefault" | "Unconfined"; readonly localhostProfile?: undefined }
  /** Name of a profile that the node's kernel has loaded. */
  | { readonly type: "Localhost"; readonly localhostProfile: string };

export interface SecurityContext {
  readonly capabilities: CapabilityRequest;
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
  readonly runAsNonRoot?: boolean | undefined;
  readonly allowPrivilegeEscalation?: boolean | undefined;
  readonly readOnlyRootFilesystem?: boolean | undefined;
  /** 0 to 0777. */
  readonly umask?: number | undefined;
  readonly seccompProfile?: SeccompProfile | undefined;
  readonly appArmorProfile?: AppArmorProfile | undefined;
  readonly procMount?: "Default" | "Unmasked" | undefined;
  /** All capabilities; masks and devices are as for everybody. */
  readonly privileged?: boolean | undefined;
}

/** What counts for every app that does not say otherwise. */
export interface SandboxSecurityContext {
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
  readonly runAsNonRoot?: boolean | undefined;
  readonly supplementalGroups: readonly number[];
  readonly supplementalGroupsPolicy: "Merge" | "Strict";
  readonly seccompProfile?: SeccompProfile | undefined;
  readonly appArmorProfile?: AppArmorProfile | undefined;
  /** Each of a namespace, each once. */
  readonly sysctls: readonly Sysctl[];
}

export type RestartPolicy = "Never" | "OnFailure" | "Always";

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env: readonly EnvVar[];
  /** Empty: the image's. */
  readonly workingDir: string;
  readonly securityContext: SecurityContext;
  /** No two at one path. */
  readonly volumeMounts: readonly VolumeMount[];
  /** Each type once. */
  readonly rlimits: readonly Rlimit[];
  /** Each place in the container once. */
  readonly devices: readonly DeviceRequest[];
}

export interface SandboxSpec {
  /** Empty: the node's default class. */
  readonly runtimeClassName: string;
  readonly containers: readonly ContainerSpec[];
  readonly securityContext: SandboxSecurityContext;
  /** Empty: the sandbox's name. */
  readonly hostname: string;
  /** What is not enforced is refused instead of reported. */
  readonly requireEnforcement: boolean;
  /** Names are unique. */
  readonly volumes: readonly Volume[];
  /** None: every app has the image's /etc/hosts. */
  readonly hostAliases: readonly HostAlias[];
  readonly restartPolicy: RestartPolicy;
  /** After the creation or start began. */
  readonly activeDeadlineSeconds?: number | undefined;
  readonly ttlSecondsAfterFinished?: number | undefined;
  readonly terminationGracePeriodSeconds?: number | undefined;
  /** ISO 8601, UTC. */
  readonly expiresAt?: string | undefined;
}

export interface SandboxMetadata {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** For the caller's own use, and in the config.json of each app. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** A request that keeps every rule which needs no look at the node. */
export interface SandboxRequest {
  readonly metadata: SandboxMetadata;
  readonly spec: SandboxSpec;
}

/** Parses {metadata, spec}. Throws InvalidRequest with every violation and its field path. */
export function parseSandboxRequest(input: unknown): SandboxRequest {
  const parsed = sandboxSchema.safeParse(input, { reportInput: true });
  const violations = [...(parsed.success ? [] : violationsOf(parsed.error, input)), ...violationsAcross(input)];
  if (parsed.success && violations.length === 0) return parsed.data;
  throw invalidRequest(violations);
}

/** Looks at the input itself: zod does not come to rules over several containers while a field of one is of a wrong type. */
function violationsAcross(input: unknown): Violation[] {
  const spec = propertyOf(input, "spec");
  return [
    ...repeatedNames(spec, "containers"),
    ...repeatedNames(spec, "volumes"),
    ...unknownVolumes(spec),
    ...hiddenHosts(spec),
    ...writableImages(spec),
  ];
}

function repeatedNames(spec: unknown, list: "containers" | "volumes"): Violation[] {
  const seen = new Set<unknown>();
  return namesOf(spec, list).flatMap((name, index) => {
    const repeated = seen.has(name);
    seen.add(name);
    if (typeof name !== "string" || !repeated) return [];
    const rule = `is used by another ${list.slice(0, -1)} of the sandbox`;
    return [{ field: `spec.${list}[${index}].name`, rule, value: show(name), allowed: "a name of its own" }];
  });
}

function unknownVolumes(spec: unknown): Violation[] {
  const known = new Set(namesOf(spec, "volumes"));
  return listOf(spec, "containers").flatMap((container, index) =>
    namesOf(container, "volumeMounts").flatMap((name, position) => {
      if (typeof name !== "string" || known.has(name)) return [];
      const field = `spec.containers[${index}].volumeMounts[${position}].name`;
      const allowed = known.size === 0 ? "a volume of spec.volumes, which is empty" : show([...known]);
      return [{ field, rule: "is no volume of the sandbox", value: show(name), allowed }];
    }),
  );
}

function hiddenHosts(spec: unknown): Violation[] {
  if (listOf(spec, "hostAliases").length === 0) return [];
  return listOf(spec, "containers").flatMap((container, index) =>
    listOf(container, "volumeMounts").flatMap((mount, position) => {
      const path = propertyOf(mount, "mountPath");
      if (typeof path !== "string" || !hidesHosts(path)) return [];
      const field = `spec.containers[${index}].volumeMounts[${position}].mountPath`;
      return [{ field, rule: "is where spec.hostAliases are written", value: show(path), allowed: "another path, or no hostAliases" }];
    }),
  );
}

function writableImages(spec: unknown): Violation[] {
  const images = new Set(
    listOf(spec, "volumes")
      .filter((volume) => propertyOf(volume, "image") !== undefined)
      .map((volume) => propertyOf(volume, "name")),
  );
  return listOf(spec, "containers").flatMap((container, index) =>
    listOf(container, "volumeMounts").flatMap((mount, position) => {
      if (!images.has(propertyOf(mount, "name")) || propertyOf(mount, "readOnly") !== false) return [];
      const field = `spec.containers[${index}].volumeMounts[${position}].readOnly`;
      return [{ field, rule: "cannot be false: an image is read-only", value: "false", allowed: "true, or leave it out" }];
    }),
  );
}

function namesOf(value: unknown, list: string): unknown[] {
  return listOf(value, list).map((entry) => propertyOf(entry, "name"));
}

function listOf(value: unknown, key: string): unknown[] {
  const list = propertyOf(value, key);
  return Array.isArray(list) ? list : [];
}

function propertyOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

const MAX_CONTAINERS = 64;
const MAX_DEVICES = 64;
/** Room for the primary group and those of the image below the kernel's NGROUPS_MAX, 65536; more than any sandbox needs. */
const MAX_GROUPS = 1024;

const hostname = rule((name) => name === "" || isDnsLabel(name), ...DNS_LABEL)(z.string());

const sandboxName = rule(
  (name) => !/^[0-9a-f]{32}$/.test(name),
  "has the form of an id",
  "a name that is not 32 hex digits",
)(dnsLabel(z.string()));
const containerName = rule((name) => name !== "pause", "is reserved", "any other name: pause is made by berthd")(dnsLabel(z.string()));

function wholeNumber(min: number, max: number): z.ZodNumber {
  const allowed = `${min} to ${max}`;
  return z
    .number({ error: "is not a whole number" })
    .refine((value) => Number.isInteger(value), { error: "is not a whole number", params: { allowed }, abort: true })
    .refine((value) => value >= min && value <= max, { error: "is out of range", params: { allowed } });
}

const id = wholeNumber(0, MAX_ID);

/** An entry of a capability list, as it was sent and where. */
interface Entry<Name> {
  readonly name: Name;
  readonly text: string;
  readonly index: number;
}

/** What is wrong with an entry, and what would be right. */
interface EntryFault {
  readonly message: string;
  readonly allowed: string;
}

/** Blank entries are skipped and repeats dropped, as every engine does. Each entry is looked at, whatever the others are. */
function capabilityEntries<Name extends string>(read: (text: string) => Name | EntryFault) {
  return z.array(z.unknown()).transform((texts, context) => {
    const entries: Entry<Name>[] = [];
    for (const [index, text] of texts.entries()) {
      const refuse = ({ message, allowed }: EntryFault): void => {
        context.addIssue({ code: "custom", path: [index], input: text, message, params: { allowed } });
      };
      if (typeof text !== "string") {
        refuse({ message: "is not a text", allowed: "the name of a capability" });
      } else if (text.trim() !== "") {
        const name = read(text);
        if (typeof name === "object") refuse(name);
        else if (entries.every((entry) => entry.name !== name)) entries.push({ name, text, index });
      }
    }
    return entries;
  });
}

const NOT_OF_THE_KERNEL = "is not a capability of the kernel";
const capabilityList = capabilityEntries(
  (text): Capability | "ALL" | EntryFault =>
    normalizeCapability(text) ?? { message: NOT_OF_THE_KERNEL, allowed: "a name of capabilities(7) such as NET_ADMIN, or ALL" },
).transform((entries) => entries.map(({ name }) => name));

const ambientEntries = capabilityEntries((text): Capability | EntryFault => {
  const name = normalizeCapability(text);
  if (name === undefined) return { message: NOT_OF_THE_KERNEL, allowed: "a name of capabilities(7) such as NET_ADMIN" };
  return name === "ALL" ? { message: "ALL is not a single capability", allowed: "single names, or ambient: auto" } : name;
});

const capabilities = z
  .strictObject({
    add: capabilityList.prefault([]),
    drop: capabilityList.prefault([]),
    ambient: z
      .union([z.enum(["never", "auto"]), ambientEntries], { error: "is not never, auto or a list of capabilities" })
      .prefault("never"),
  })
  .transform(({ add, drop, ambient }, context): CapabilityRequest => {
    if (typeof ambient === "string") return { add, drop, ambient };
    const final = finalCapabilities({ add, drop });
    const allowed = final.join(", ") || "nothing: the set is empty";
    for (const { text, index } of ambient.filter((entry) => !final.includes(entry.name))) {
      const message = "is not in the container's final set";
      context.addIssue({ code: "custom", path: ["ambient", index], input: text, message, params: { allowed } });
    }
    return { add, drop, ambient: ambient.map(({ name }) => name) };
  });

const umask = z.number({ error: "is not a whole number" }).refine((value) => Number.isInteger(value) && value >= 0 && value <= MAX_UMASK, {
  error: "is not a file mode creation mask",
  params: { allowed: `0 to ${MAX_UMASK} (0o777)` },
});

const PROFILE_TYPES = ["RuntimeDefault", "Localhost", "Unconfined"] as const;
type Profile = SeccompProfile & AppArmorProfile;

/** A profile by its type; `localhostProfile` goes with type Localhost and with no other. */
function profileOf(kind: string, localhostProfile: z.ZodType<string>, where: string) {
  return z
    .strictObject({
      type: z.enum(PROFILE_TYPES, { error: `is not a type of ${kind} profile` }),
      localhostProfile: localhostProfile.optional(),
    })
    .transform(({ type, localhostProfile }, context): Profile => {
      const refuse = (message: string, allowed: string): never => {
        context.addIssue({ code: "custom", path: ["localhostProfile"], input: localhostProfile, message, params: { allowed } });
        return z.NEVER;
      };
      if (type === "Localhost") {
        if (localhostProfile !== undefined) return { type, localhostProfile };
        return refuse("is required", `${where}, as type is Localhost`);
      }
      if (localhostProfile === undefined) return { type };
      return refuse(`is only used with type Localhost, not ${type}`, "leave it out, or type: Localhost");
    });
}

const profileText = rule(
  (path) => path.split("/").every((part) => part !== "" && part !== "." && part !== ".."),
  "is not a clean relative path",
  "a path in the node's profile folder, without a leading '/', '//', '.' and '..'",
)(text);
const seccompProfile = profileOf("seccomp", profileText, "the path of a profile in the node's profile folder");

const appArmorName = rule(
  (name) => /^[\x21-\x7e]([\x20-\x7e]{0,4093}[\x21-\x7e])?$/.test(name),
  "is not the name of an AppArmor profile",
  "1 to 4095 printable ASCII characters, no blank at either end",
)(z.string());
const appArmorProfile = profileOf("AppArmor", appArmorName, "the name of a profile that the node has loaded");

const securityContext = z
  .strictObject({
    capabilities: capabilities.prefault({}),
    runAsUser: id.optional(),
    runAsGroup: id.optional(),
    runAsNonRoot: z.boolean().optional(),
    allowPrivilegeEscalation: z.boolean().optional(),
    readOnlyRootFilesystem: z.boolean().optional(),
    umask: umask.optional(),
    seccompProfile: seccompProfile.optional(),
    appArmorProfile: appArmorProfile.optional(),
    procMount: z.enum(["Default", "Unmasked"], { error: "is not a way to mount /proc" }).optional(),
    privileged: z.boolean().optional(),
  })
  .superRefine(
    ({ allowPrivilegeEscalation, capabilities, privileged }, context) => {
      // As Kubernetes: whoever has SYS_ADMIN needs no setuid program to gain privileges.
      const all = privileged === true;
      if (allowPrivilegeEscalation !== false || !(all || finalCapabilities(capabilities).includes("CAP_SYS_ADMIN"))) return;
      const message = all ? "cannot be false in a privileged container" : "cannot be false with the capability SYS_ADMIN";
      const params = { allowed: all ? "leave it out, or privileged: false" : "leave it out, or do not add SYS_ADMIN" };
      context.addIssue({ code: "custom", path: ["allowPrivilegeEscalation"], input: false, message, params });
    },
    // Told beside what is wrong with other fields, which zod would tell first and alone.
    { when: ({ value }) => capabilities.safeParse(propertyOf(value, "capabilities")).success },
  );

/** No two entries of a list say the same of `key`. */
function refuseRepeats<Key extends string>(entries: readonly Readonly<Record<Key, string>>[], key: Key, context: z.RefinementCtx): void {
  for (const [index, { [key]: input }] of entries.entries()) {
    if (entries.findIndex((other) => other[key] === input) === index) continue;
    const params = { allowed: "each once" };
    context.addIssue({ code: "custom", path: [index, key], input, message: "is set by another entry", params });
  }
}

/** What fits into the one page that the kernel reads. */
const MAX_SYSCTL_BYTES = 4095;
const sysctlName = z.string().superRefine((name, context) => {
  const refuse = (message: string, allowed: string): void => context.addIssue({ code: "custom", message, params: { allowed } });
  if (name.length > 253 || !/^[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-_a-z0-9]*[a-z0-9])?)+$/.test(name)) {
    refuse(
      "is not the name of a kernel setting",
      "names of lower-case letters, digits, '-' and '_', joined by dots, such as net.ipv4.tcp_rmem",
    );
  } else if (namespaceOf(name) === undefined) {
    refuse(
      "is a setting of the whole host",
      "settings of the net and ipc namespaces: net.*, kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*",
    );
  }
});
const sysctlValue = rule(
  (value) => /^[\t\x20-\x7e]+$/.test(value) && value.trim() !== "" && value.length <= MAX_SYSCTL_BYTES,
  "is not the value of a kernel setting",
  `one line of printable ASCII, not blank, of at most ${MAX_SYSCTL_BYTES} characters`,
)(z.string());
const sysctl = z.strictObject({ name: sysctlName, value: sysctlValue });
const sysctls = z.array(sysctl).superRefine((entries, context) => refuseRepeats(entries, "name", context));

const sandboxSecurityContext = z.strictObject({
  runAsUser: id.optional(),
  runAsGroup: id.optional(),
  runAsNonRoot: z.boolean().optional(),
  supplementalGroups: z
    .array(id)
    .max(MAX_GROUPS, { error: `has more than ${MAX_GROUPS} entries` })
    .prefault([]),
  supplementalGroupsPolicy: z.enum(["Merge", "Strict"]).prefault("Merge"),
  seccompProfile: seccompProfile.optional(),
  appArmorProfile: appArmorProfile.optional(),
  sysctls: sysctls.prefault([]),
});

const rlimitType = z.string().transform((name, context): RlimitType => {
  const type = normalizeRlimit(name);
  if (type !== undefined) return type;
  context.addIssue({ code: "custom", input: name, message: "is not a limit of the kernel", params: { allowed: RLIMIT_TYPES.join(", ") } });
  return z.NEVER;
});
const rlimitValue = z.unknown().transform((value, context): RlimitValue => {
  if (value === "unlimited" || value === -1) return "unlimited";
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  const params = { allowed: `0 to ${Number.MAX_SAFE_INTEGER}, or unlimited` };
  context.addIssue({ code: "custom", input: value, message: "is not a limit", params });
  return z.NEVER;
});
const rlimit = z.strictObject({ type: rlimitType, soft: rlimitValue, hard: rlimitValue }).superRefine(({ soft, hard }, context) => {
  if (rlimitNumber(soft) <= rlimitNumber(hard)) return;
  const params = { allowed: `at most the hard limit, ${hard}` };
  context.addIssue({ code: "custom", path: ["soft"], input: soft, message: "is above the hard limit", params });
});
/** Runtimes differ in which of two entries of a type they take. */
const rlimits = z.array(rlimit).superRefine((entries, context) => refuseRepeats(entries, "type", context));

const isClean = (path: string): boolean =>
  path
    .split("/")
    .slice(1)
    .every((part) => part !== "" && part !== "." && part !== "..");
const devicePath = rule(
  (path) => path.startsWith("/") && isClean(path),
  "is not a clean absolute path",
  "a path without '//', '.' and '..'",
)(text);
const deviceTarget = rule(
  (path) => path.startsWith("/dev/") && isClean(path) && !STANDARD_DEVICES.some((taken) => path === taken || path.startsWith(`${taken}/`)),
  "is not a place for a device",
  "a clean path below /dev that is not one of every container's, such as /dev/null",
)(text);
const permissions = rule(
  (letters) => /^(?=.)r?w?m?$/.test(letters),
  "are not permissions of a device",
  "r, w and m, in this order",
)(z.string());
const device = z
  .strictObject({ path: devicePath, containerPath: deviceTarget.optional(), permissions: permissions.prefault("rwm") })
  .transform(({ path, containerPath = path, permissions }, context): DeviceRequest => {
    if (deviceTarget.safeParse(containerPath).success) return { path, containerPath, permissions };
    const params = { allowed: "containerPath: a clean path below /dev that is not one of every container's" };
    context.addIssue({ code: "custom", path: ["path"], input: path, message: "cannot stand there in the container", params });
    return z.NEVER;
  });
const devices = z
  .array(device)
  .max(MAX_DEVICES, { error: `has more than ${MAX_DEVICES} entries` })
  .superRefine((entries, context) => refuseRepeats(entries, "containerPath", context));

const envName = rule((name) => name !== "" && !name.includes("="), "is empty or contains '='", "a name without '='")(text);
export const envVar = z.strictObject({ name: envName, value: text.prefault("") });

export const workingDir = rule(
  (path) => path === "" || path.startsWith("/"),
  "is not absolute",
  "a path that starts with '/'",
)(rule((path) => !leadsThroughProc(path), "leads through /proc (CVE-2024-21626)", "a path outside /proc")(text));

/** The most that a 32-bit number of the wire holds: 68 years. */
const MAX_SECONDS = 2_147_483_647;

const positive = wholeNumber(1, MAX_SECONDS);

/** A field that has its place on the wire already. */
const notYet = z
  .custom<undefined>((value) => value === undefined, { error: "is not implemented by berth yet", params: { allowed: "leave it out" } })
  .optional();

const container = z.strictObject({
  name: containerName,
  image: imageReference,
  command: z.array(text).prefault([]),
  args: z.array(text).prefault([]),
  env: z.array(envVar).prefault([]),
  workingDir: workingDir.prefault(""),
  securityContext: securityContext.prefault({}),
  volumeMounts: volumeMounts.prefault([]),
  rlimits: rlimits.prefault([]),
  devices: devices.prefault([]),
  startupProbe: notYet,
  livenessProbe: notYet,
  readinessProbe: notYet,
});

const containers = z
  .array(container)
  .min(1, { error: "is empty" })
  .max(MAX_CONTAINERS, { error: `has more than ${MAX_CONTAINERS} entries` });

/** Kubernetes' label syntax: [prefix/]name, where the prefix is a DNS name of at most 253 characters; value at most 63 characters. */
const labelName =
  /^((?=[^/]{1,253}\/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const labels = z.record(z.string(), z.string()).superRefine((entries, context) => {
  for (const [key, value] of Object.entries(entries)) {
    const allowed = "Kubernetes' label syntax: letters, digits, '-', '_' and '.', at most 63 characters";
    if (!labelName.test(key))
      context.addIssue({ code: "custom", path: [key], input: key, message: "is not a label key", params: { allowed } });
    if (!labelValue.test(value))
      context.addIssue({ code: "custom", path: [key], input: value, message: "is not a label value", params: { allowed } });
  }
});

/** Of keys and values together, as in Kubernetes. */
const MAX_ANNOTATION_BYTES = 256 * 1024;
const annotations = z.record(z.string(), text).superRefine((entries, context) => {
  let bytes = 0;
  for (const [key, value] of Object.entries(entries)) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    const refuse = (message: string, allowed: string): void =>
      context.addIssue({ code: "custom", path: [key], input: key, message, params: { allowed } });
    const fault = annotationFault(key);
    if (fault === "reserved") refuse("is reserved: runtimes read settings there", `keys without ${RESERVED_PREFIXES.join(", ")}`);
    else if (fault === "old security setting")
      refuse("is a security setting of old, which berth does not read", "the field of securityContext");
    else if (!labelName.test(key)) refuse("is not an annotation key", "Kubernetes' syntax of keys: [PREFIX/]NAME, as for labels");
  }
  if (bytes <= MAX_ANNOTATION_BYTES) return;
  const params = { allowed: `at most ${MAX_ANNOTATION_BYTES} bytes of keys and values` };
  context.addIssue({ code: "custom", input: `${bytes} bytes`, message: "are too long together", params });
});

const MAX_GRACE_SECONDS = 3600;

/** RFC 3339; kept in UTC. */
const time = rule(
  (value) => z.iso.datetime({ offset: true }).safeParse(value).success,
  "is not a time",
  "RFC 3339, such as 2026-11-21T10:00:00Z",
)(z.string()).transform((value) => new Date(value).toISOString());

/** An image is read-only, whatever its mounts leave out. */
function withReadOnlyImages(spec: SandboxSpec): SandboxSpec {
  const images = new Set(spec.volumes.filter(({ image }) => image !== undefined).map(({ name }) => name));
  if (images.size === 0) return spec;
  const ofContainer = (container: ContainerSpec): ContainerSpec => ({
    ...container,
    volumeMounts: container.volumeMounts.map((mount) => (images.has(mount.name) ? { ...mount, readOnly: true } : mount)),
  });
  return { ...spec, containers: spec.containers.map(ofContainer) };
}

const sandboxSchema = z.strictObject({
  metadata: z.strictObject({
    namespace: dnsLabel(z.string()).prefault("default"),
    name: sandboxName,
    labels: labels.prefault({}),
    annotations: annotations.prefault({}),
  }),
  spec: z
    .strictObject({
      runtimeClassName: rule(
        (name) => name === "" || /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/.test(name),
        "is not a class name",
        "a DNS label",
      )(z.string()).prefault(""),
      containers,
      securityContext: sandboxSecurityContext.prefault({}),
      hostname: hostname.prefault(""),
      requireEnforcement: z.boolean().prefault(false),
      volumes: volumes.prefault([]),
      hostAliases: hostAliases.prefault([]),
      restartPolicy: z.enum(["Never", "OnFailure", "Always"], { error: "is not a restart policy" }).prefault("Never"),
      activeDeadlineSeconds: positive.optional(),
      ttlSecondsAfterFinished: wholeNumber(0, MAX_SECONDS).optional(),
      terminationGracePeriodSeconds: wholeNumber(0, MAX_GRACE_SECONDS).optional(),
      expiresAt: time.optional(),
    })
    .transform(withReadOnlyImages),
});
