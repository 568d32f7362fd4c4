/** Requests: from messages to what the rooms below take. Pure; every fault is a violation with the field's path. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { invalidRequest, show, type Violation } from "../errors.ts";
import {
  AmbientMode,
  AmbientModeSchema,
  type AppArmorProfile,
  type AppArmorProfileSchema,
  AppArmorProfileType,
  type Capabilities,
  type Container,
  type ObjectMeta,
  ProcMount,
  type SandboxSpec,
  SandboxSpecSchema,
  type SandboxSecurityContext,
  type SandboxSecurityContextSchema,
  type SecurityContext,
  type SecurityContextSchema,
  type SeccompProfile,
  type SeccompProfileSchema,
  SeccompProfileType,
  StorageMedium,
  SupplementalGroupsPolicy,
  type Volume,
  type VolumeMount,
  type VolumeMountSchema,
  type VolumeSchema,
  RecursiveReadOnly,
  MountPropagation,
} from "../gen/berth/v1/sandbox_pb.js";
import {
  type SandboxesGetRequest,
  type SandboxesListRequest,
  type SandboxesRenewLeaseRequest,
  WaitUntil as WireWaitUntil,
  WaitUntilSchema,
} from "../gen/berth/v1/sandboxes_pb.js";
import type { WaitUntil } from "../sandbox/sandboxes.ts";
import type {
  SandboxRequest,
  SandboxSpec as ParsedSpec,
  SeccompProfile as ParsedProfile,
  SecurityContext as ParsedContext,
} from "../sandbox/spec.ts";
import type { EmptyDirVolume, Volume as ParsedVolume, VolumeMount as ParsedMount } from "../sandbox/volumes.ts";
import { parseTogether } from "../sandbox/together.ts";
import { present } from "./present.ts";
import { lifeDocument, lifeMessage, probeDocuments, timeText } from "./wire-life.ts";

type ParsedMedium = EmptyDirVolume["medium"];

/** The part that Create and Render share. */
interface SandboxMessages {
  readonly metadata?: ObjectMeta | undefined;
  readonly spec?: SandboxSpec | undefined;
}

/** Parses metadata and spec of a request; `found` is what else is wrong with it. */
export function readSandboxRequest(request: SandboxMessages, found: readonly Violation[] = []): SandboxRequest {
  const document = { metadata: request.metadata && metadataDocument(request.metadata), spec: request.spec && specDocument(request.spec) };
  return parseTogether(document, [...found, ...metadataViolations(request.metadata), ...ambientViolations(request.spec)]);
}

function metadataDocument({ namespace, name, labels, annotations }: ObjectMeta): unknown {
  return set({ namespace, name, labels, annotations });
}

function specDocument(spec: SandboxSpec): unknown {
  const { runtimeClassName, containers, securityContext, hostname, requireEnforcement, volumes, hostAliases } = spec;
  return set({
    runtimeClassName,
    containers: containers.map(containerDocument),
    securityContext: securityContext && sandboxSecurityDocument(securityContext),
    hostname,
    requireEnforcement,
    volumes: volumes.map(volumeDocument),
    hostAliases: hostAliases.map(({ ip, hostnames }) => ({ ip, hostnames })),
    ...lifeDocument(spec),
  });
}

function volumeDocument({ name, source }: Volume): unknown {
  switch (source.case) {
    case "emptyDir": {
      const { medium, sizeLimit } = source.value;
      return { name, emptyDir: set({ medium: MEDIA.get(medium) ?? medium, sizeLimit }) };
    }
    case "image":
      return { name, image: set({ reference: source.value.reference, pullPolicy: source.value.pullPolicy }) };
    case "tmpfs":
      return { name, tmpfs: set({ sizeLimit: source.value.sizeLimit, mode: source.value.mode }) };
    case "hostPath":
      return { name, hostPath: { path: source.value.path, type: source.value.type } };
    case undefined:
      return { name };
  }
}

/** Any other number is left to the parser, which refuses it by name. */
const MEDIA = new Map<StorageMedium, ParsedMedium>([
  [StorageMedium.UNSPECIFIED, ""],
  [StorageMedium.MEMORY, "Memory"],
]);

/** Any other number is left to the parser, which refuses it by name. */
const RECURSIVE = new Map<RecursiveReadOnly, ParsedMount["recursiveReadOnly"]>([
  [RecursiveReadOnly.UNSPECIFIED, "Disabled"],
  [RecursiveReadOnly.DISABLED, "Disabled"],
  [RecursiveReadOnly.IF_POSSIBLE, "IfPossible"],
  [RecursiveReadOnly.ENABLED, "Enabled"],
]);

/** Any other number is left to the parser, which refuses it by name. */
const PROPAGATION = new Map<MountPropagation, ParsedMount["mountPropagation"]>([
  [MountPropagation.UNSPECIFIED, undefined],
  [MountPropagation.NONE, "None"],
  [MountPropagation.HOST_TO_CONTAINER, "HostToContainer"],
  [MountPropagation.BIDIRECTIONAL, "Bidirectional"],
]);

function mountDocument({ name, mountPath, readOnly, recursiveReadOnly, mountPropagation }: VolumeMount): unknown {
  return set({
    name,
    mountPath,
    // The wire does not tell false from nothing said.
    readOnly: readOnly || undefined,
    recursiveReadOnly: RECURSIVE.get(recursiveReadOnly) ?? recursiveReadOnly,
    mountPropagation: PROPAGATION.has(mountPropagation) ? PROPAGATION.get(mountPropagation) : mountPropagation,
  });
}

function sandboxSecurityDocument(context: SandboxSecurityContext): unknown {
  const { runAsUser, runAsGroup, runAsNonRoot, supplementalGroups, supplementalGroupsPolicy, ...profiles } = context;
  const { seccompProfile, appArmorProfile, sysctls } = profiles;
  return set({
    runAsUser: idOf(runAsUser),
    runAsGroup: idOf(runAsGroup),
    runAsNonRoot,
    supplementalGroups: supplementalGroups.map(Number),
    supplementalGroupsPolicy: GROUPS_POLICIES.get(supplementalGroupsPolicy) ?? supplementalGroupsPolicy,
    seccompProfile: seccompProfile && seccompDocument(seccompProfile),
    appArmorProfile: appArmorProfile && appArmorDocument(appArmorProfile),
    sysctls: sysctls.map(({ name, value }) => ({ name, value })),
  });
}

function seccompDocument({ type, localhostProfile }: SeccompProfile): unknown {
  const unset = type === SeccompProfileType.UNSPECIFIED;
  return set({ type: unset ? undefined : (SECCOMP_TYPES.get(type) ?? type), localhostProfile });
}

function appArmorDocument({ type, localhostProfile }: AppArmorProfile): unknown {
  const unset = type === AppArmorProfileType.UNSPECIFIED;
  return set({ type: unset ? undefined : (APP_ARMOR_TYPES.get(type) ?? type), localhostProfile });
}

/** Any other number is left to the parser, which refuses it by name. */
const APP_ARMOR_TYPES = new Map<AppArmorProfileType, ParsedProfile["type"]>([
  [AppArmorProfileType.RUNTIME_DEFAULT, "RuntimeDefault"],
  [AppArmorProfileType.LOCALHOST, "Localhost"],
  [AppArmorProfileType.UNCONFINED, "Unconfined"],
]);

/** Any other number is left to the parser, which refuses it by name. */
const PROC_MOUNTS = new Map<ProcMount, NonNullable<ParsedContext["procMount"]>>([
  [ProcMount.DEFAULT, "Default"],
  [ProcMount.UNMASKED, "Unmasked"],
]);

/** Any other number is left to the parser, which refuses it by name. */
const SECCOMP_TYPES = new Map<SeccompProfileType, ParsedProfile["type"]>([
  [SeccompProfileType.RUNTIME_DEFAULT, "RuntimeDefault"],
  [SeccompProfileType.LOCALHOST, "Localhost"],
  [SeccompProfileType.UNCONFINED, "Unconfined"],
]);

/** Any other number is left to the parser, which refuses it by name. */
const GROUPS_POLICIES = new Map<SupplementalGroupsPolicy, string>([
  [SupplementalGroupsPolicy.UNSPECIFIED, "Merge"],
  [SupplementalGroupsPolicy.MERGE, "Merge"],
  [SupplementalGroupsPolicy.STRICT, "Strict"],
]);

/** Larger numbers lose digits here, but not their being too large. */
function idOf(id: bigint | undefined): number | undefined {
  return id === undefined ? undefined : Number(id);
}

function containerDocument(container: Container): unknown {
  const { name, image, command, args, env, workingDir, securityContext, volumeMounts, rlimits, devices } = container;
  const variables = env.map((variable) => set({ name: variable.name, value: variable.value }));
  return set({
    name,
    image,
    command,
    args,
    env: variables,
    workingDir,
    securityContext: securityContext && securityDocument(securityContext),
    rlimits: rlimits.map(({ type, soft, hard }) => ({ type, soft: limitOf(soft), hard: limitOf(hard) })),
    devices: devices.map(({ path, containerPath, permissions }) => set({ path, containerPath, permissions })),
    volumeMounts: volumeMounts.map(mountDocument),
    ...probeDocuments(container),
  });
}

/** RLIM_INFINITY. */
const NO_LIMIT = 2n ** 64n - 1n;

/** Larger numbers lose digits here, but not their being too large. */
function limitOf(value: bigint): number | "unlimited" {
  return value === NO_LIMIT ? "unlimited" : Number(value);
}

function limitMessage(value: number | "unlimited"): bigint {
  return value === "unlimited" ? NO_LIMIT : BigInt(value);
}

function securityDocument({ capabilities, runAsUser, runAsGroup, ...others }: SecurityContext): unknown {
  const { runAsNonRoot, allowPrivilegeEscalation, readOnlyRootFilesystem, umask, seccompProfile, appArmorProfile, procMount, privileged } =
    others;
  return set({
    capabilities: capabilities && set({ add: capabilities.add, drop: capabilities.drop, ambient: ambientOf(capabilities) }),
    runAsUser: idOf(runAsUser),
    runAsGroup: idOf(runAsGroup),
    runAsNonRoot,
    allowPrivilegeEscalation,
    readOnlyRootFilesystem,
    umask,
    seccompProfile: seccompProfile && seccompDocument(seccompProfile),
    appArmorProfile: appArmorProfile && appArmorDocument(appArmorProfile),
    procMount: procMount && (PROC_MOUNTS.get(procMount) ?? procMount),
    privileged,
  });
}

function ambientOf({ ambientMode, ambient }: Capabilities): "auto" | readonly string[] | undefined {
  if (ambientMode === AmbientMode.AUTO) return "auto";
  return ambientMode === AmbientMode.LIST ? ambient : undefined;
}

/** Only what the caller set: the wire does not tell an empty text or list from none. An empty ambient list with mode LIST is one. */
function set(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([key, value]) => value !== undefined && (key === "ambient" || !isEmpty(value))));
}

function isEmpty(value: unknown): boolean {
  return value === "" || (Array.isArray(value) && value.length === 0);
}

function metadataViolations(metadata: ObjectMeta | undefined): Violation[] {
  const outputOnly = { rule: "is set by berthd", allowed: "leave it out" };
  const violations: Violation[] = [];
  if (metadata?.id) violations.push({ field: "metadata.id", value: show(metadata.id), ...outputOnly });
  if (metadata?.createdAt) violations.push({ field: "metadata.createdAt", value: "a time", ...outputOnly });
  if (metadata?.resourceVersion)
    violations.push({ field: "metadata.resourceVersion", value: show(metadata.resourceVersion), ...outputOnly });
  if (metadata?.generation) violations.push({ field: "metadata.generation", value: show(metadata.generation), ...outputOnly });
  // Parsers drop this key, as assigning it would change an object's prototype.
  for (const map of ["labels", "annotations"] as const) {
    if (!metadata || !Object.hasOwn(metadata[map], "__proto__")) continue;
    const rule = `is not ${map === "labels" ? "a label" : "an annotation"} key`;
    violations.push({ field: `metadata.${map}.__proto__`, rule, value: show("__proto__"), allowed: "Kubernetes' syntax of keys" });
  }
  return violations;
}

function ambientViolations(spec: SandboxSpec | undefined): Violation[] {
  return (spec?.containers ?? []).flatMap(({ securityContext }, index) => {
    const capabilities = securityContext?.capabilities;
    if (!capabilities) return [];
    const path = `spec.containers[${index}].securityContext.capabilities`;
    if (AmbientModeSchema.value[capabilities.ambientMode] === undefined) {
      const allowed = AmbientModeSchema.values.map(({ name }) => name).join(", ");
      return [
        { field: `${path}.ambientMode`, rule: "is not a mode that this berthd knows", value: show(capabilities.ambientMode), allowed },
      ];
    }
    if (capabilities.ambient.length === 0 || capabilities.ambientMode === AmbientMode.LIST) return [];
    const rule = "is only used with mode AMBIENT_MODE_LIST";
    return [{ field: `${path}.ambient`, rule, value: show(capabilities.ambient), allowed: "no list, or ambientMode AMBIENT_MODE_LIST" }];
  });
}

/** The messages that ask for a parsed request; readSandboxRequest reads the same back. */
export function sandboxMessages({ metadata, spec }: SandboxRequest): {
  metadata: { namespace: string; name: string; labels: Record<string, string>; annotations: Record<string, string> };
  spec: SandboxSpec;
} {
  const { namespace, name, labels, annotations } = metadata;
  return { metadata: { namespace, name, labels: { ...labels }, annotations: { ...annotations } }, spec: specMessage(spec) };
}

export function specMessage(spec: ParsedSpec): SandboxSpec {
  return create(SandboxSpecSchema, {
    runtimeClassName: spec.runtimeClassName,
    containers: spec.containers.map(({ name, image, command, args, env, workingDir, securityContext, volumeMounts, rlimits, devices }) => ({
      name,
      image,
      command: [...command],
      args: [...args],
      env: env.map((variable) => ({ name: variable.name, value: variable.value })),
      workingDir,
      securityContext: securityMessage(securityContext),
      rlimits: rlimits.map(({ type, soft, hard }) => ({ type, soft: limitMessage(soft), hard: limitMessage(hard) })),
      devices: devices.map(({ path, containerPath, permissions }) => ({ path, containerPath, permissions })),
      volumeMounts: volumeMounts.map(mountMessage),
    })),
    securityContext: sandboxSecurityMessage(spec.securityContext),
    hostname: spec.hostname,
    requireEnforcement: spec.requireEnforcement,
    volumes: spec.volumes.map(volumeMessage),
    hostAliases: spec.hostAliases.map(({ ip, hostnames }) => ({ ip, hostnames: [...hostnames] })),
    ...lifeMessage(spec),
  });
}

function volumeMessage({ name, emptyDir, tmpfs, hostPath, image }: ParsedVolume): MessageInitShape<typeof VolumeSchema> {
  if (image) return { name, source: { case: "image", value: image } };
  if (hostPath) return { name, source: { case: "hostPath", value: hostPath } };
  if (tmpfs) return { name, source: { case: "tmpfs", value: { sizeLimit: sizeText(tmpfs.sizeLimit), mode: tmpfs.mode } } };
  const medium = emptyDir?.medium === "Memory" ? StorageMedium.MEMORY : StorageMedium.UNSPECIFIED;
  return { name, source: { case: "emptyDir", value: { medium, sizeLimit: sizeText(emptyDir?.sizeLimit) } } };
}

const sizeText = (bytes: number | undefined): string => (bytes === undefined ? "" : String(bytes));

function mountMessage({
  name,
  mountPath,
  readOnly,
  recursiveReadOnly,
  mountPropagation,
}: ParsedMount): MessageInitShape<typeof VolumeMountSchema> {
  const [recursive] = [...RECURSIVE].findLast(([, text]) => text === recursiveReadOnly) ?? [];
  const [propagation] = [...PROPAGATION].find(([, text]) => text === mountPropagation) ?? [];
  return {
    name,
    mountPath,
    readOnly,
    recursiveReadOnly: recursive ?? RecursiveReadOnly.DISABLED,
    mountPropagation: propagation ?? MountPropagation.UNSPECIFIED,
  };
}

function securityMessage({
  capabilities,
  runAsUser,
  runAsGroup,
  seccompProfile,
  appArmorProfile,
  procMount,
  ...others
}: ParsedContext): MessageInitShape<typeof SecurityContextSchema> {
  return {
    capabilities: { add: [...capabilities.add], drop: [...capabilities.drop], ...ambientMessage(capabilities.ambient) },
    ...present({
      runAsUser: bigId(runAsUser),
      runAsGroup: bigId(runAsGroup),
      ...others,
      seccompProfile: seccompProfile && seccompMessage(seccompProfile),
      appArmorProfile: appArmorProfile && appArmorMessage(appArmorProfile),
      procMount: numberOf(PROC_MOUNTS, procMount),
    }),
  };
}

function sandboxSecurityMessage(context: ParsedSpec["securityContext"]): MessageInitShape<typeof SandboxSecurityContextSchema> {
  const { runAsUser, runAsGroup, runAsNonRoot, supplementalGroups, supplementalGroupsPolicy, ...profiles } = context;
  const { seccompProfile, appArmorProfile, sysctls } = profiles;
  return {
    ...present({
      runAsUser: bigId(runAsUser),
      runAsGroup: bigId(runAsGroup),
      runAsNonRoot,
      seccompProfile: seccompProfile && seccompMessage(seccompProfile),
      appArmorProfile: appArmorProfile && appArmorMessage(appArmorProfile),
    }),
    supplementalGroups: supplementalGroups.map(BigInt),
    supplementalGroupsPolicy: supplementalGroupsPolicy === "Strict" ? SupplementalGroupsPolicy.STRICT : SupplementalGroupsPolicy.MERGE,
    sysctls: sysctls.map(({ name, value }) => ({ name, value })),
  };
}

function seccompMessage({ type, localhostProfile = "" }: ParsedProfile): MessageInitShape<typeof SeccompProfileSchema> {
  return { type: numberOf(SECCOMP_TYPES, type) ?? SeccompProfileType.UNSPECIFIED, localhostProfile };
}

function appArmorMessage({ type, localhostProfile = "" }: ParsedProfile): MessageInitShape<typeof AppArmorProfileSchema> {
  return { type: numberOf(APP_ARMOR_TYPES, type) ?? AppArmorProfileType.UNSPECIFIED, localhostProfile };
}

/** The enum's number of a word. */
function numberOf<Number, Word>(words: ReadonlyMap<Number, Word>, wanted: Word | undefined): Number | undefined {
  return [...words].find(([, word]) => word === wanted)?.[0];
}

const bigId = (id: number | undefined): bigint | undefined => (id === undefined ? undefined : BigInt(id));

function ambientMessage(ambient: "never" | "auto" | readonly string[]): { ambientMode: AmbientMode; ambient: string[] } {
  if (ambient === "never") return { ambientMode: AmbientMode.NEVER, ambient: [] };
  if (ambient === "auto") return { ambientMode: AmbientMode.AUTO, ambient: [] };
  return { ambientMode: AmbientMode.LIST, ambient: [...ambient] };
}

const MAX_REQUEST_ID = 128;
const MAX_PAGE = 1000;
const DEFAULT_PAGE = 100;
const MAX_GRACE_MS = 3_600_000;

export function requestIdViolations(requestId: string): Violation[] {
  if (requestId.length <= MAX_REQUEST_ID) return [];
  return [{ field: "requestId", rule: "is too long", value: show(requestId), allowed: `at most ${MAX_REQUEST_ID} characters` }];
}

/** What a caller can wait for. */
const WAITS: ReadonlyMap<number, WaitUntil> = new Map([
  [WireWaitUntil.UNSPECIFIED, "running"],
  [WireWaitUntil.ACCEPTED, "accepted"],
  [WireWaitUntil.CREATED, "created"],
  [WireWaitUntil.RUNNING, "running"],
]);

export function waitUntilViolations(waitUntil: number): Violation[] {
  if (WAITS.has(waitUntil)) return [];
  const allowed = WaitUntilSchema.values.map(({ name }) => name).join(", ");
  return [{ field: "waitUntil", rule: "is nothing that this berthd can wait for", value: show(waitUntil), allowed }];
}

export const readWaitUntil = (waitUntil: number): WaitUntil => WAITS.get(waitUntil) ?? "running";

export function idViolations(id: string, field = "id"): Violation[] {
  if (/^[0-9a-f]{32}$/.test(id)) return [];
  return [{ field, rule: id === "" ? "is required" : "is not an id", value: show(id), allowed: "the full id: 32 lower-case hex digits" }];
}

/** Throws when there is a violation. */
export function refuse(violations: readonly Violation[]): void {
  if (violations.length > 0) throw invalidRequest(violations);
}

export type Target = { id: string } | { namespace: string; name: string };

export function readTarget({ target }: Pick<SandboxesGetRequest, "target">): Target {
  if (target.case === "id") {
    refuse(idViolations(target.value));
    return { id: target.value };
  }
  if (target.case === "name" && target.value.name !== "")
    return { namespace: target.value.namespace || "default", name: target.value.name };
  const field = target.case === "name" ? "name.name" : "target";
  throw invalidRequest([{ field, rule: "is required", value: "nothing", allowed: "an id, or a name in a namespace" }]);
}

export interface ListFilter {
  namespace?: string;
  labels: Record<string, string>;
  pageSize: number;
  pageToken: string;
}

export function readListFilter({ namespace, labels, pageSize, pageToken }: SandboxesListRequest): ListFilter {
  if (pageSize < 0 || pageSize > MAX_PAGE) {
    const allowed = `1 to ${MAX_PAGE}, or 0 for ${DEFAULT_PAGE}`;
    throw invalidRequest([{ field: "pageSize", rule: "is out of range", value: show(pageSize), allowed }]);
  }
  return { ...(namespace === "" ? {} : { namespace }), labels: { ...labels }, pageSize: pageSize || DEFAULT_PAGE, pageToken };
}

export function readRenewal({ id, expiresAt, resourceVersion }: SandboxesRenewLeaseRequest): {
  id: string;
  expiresAt: string;
  resourceVersion: string;
} {
  const time = expiresAt && timeText(expiresAt);
  const timeViolation = {
    field: "expiresAt",
    rule: time === undefined ? "is required" : "is not a time",
    value: show(time ?? null),
    allowed: "a time in the future",
  };
  const versionViolation = {
    field: "resourceVersion",
    rule: "is required",
    value: show(resourceVersion),
    allowed: "metadata.resourceVersion of the sandbox",
  };
  const faulty = time === undefined || Number.isNaN(Date.parse(time));
  refuse([...idViolations(id), ...(faulty ? [timeViolation] : []), ...(resourceVersion === "" ? [versionViolation] : [])]);
  return { id, expiresAt: time ?? "", resourceVersion };
}

/** Reads {id, gracePeriod}; the grace comes in milliseconds, undefined when it is not said. */
export function readEnding({ id, gracePeriod }: { id: string; gracePeriod?: Duration | undefined }): {
  id: string;
  graceMs: number | undefined;
} {
  if (!gracePeriod) {
    refuse(idViolations(id));
    return { id, graceMs: undefined };
  }
  const graceMs = Number(gracePeriod.seconds) * 1000 + gracePeriod.nanos / 1e6;
  const valid = graceMs >= 0 && graceMs <= MAX_GRACE_MS && Math.abs(gracePeriod.nanos) < 1e9;
  const graceViolation = { field: "gracePeriod", rule: "is out of range", value: `${graceMs / 1000}s`, allowed: "0s to 3600s" };
  refuse([...idViolations(id), ...(valid ? [] : [graceViolation])]);
  return { id, graceMs };
}
