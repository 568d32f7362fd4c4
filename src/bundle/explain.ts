/** Where each value of a rendered config.json comes from. Pure; looks at the same input as render. */

import type { ContainerSpec, SandboxSpec } from "../sandbox/spec.ts";
import type { VolumeMount } from "../sandbox/volumes.ts";
import { baselineMounts } from "./baseline.ts";
import { type Capability, DEFAULT_CAPABILITIES, defaultCapabilitiesOf, finalCapabilities } from "./capabilities.ts";
import { hostsMounts } from "./hosts.ts";
import { appMounts, rootfsPropagation, sharedMountAnnotations, volumeKind, volumeOf } from "./mounts.ts";
import type { OciConfig } from "./oci.ts";
import { PAUSE_NAME } from "./pause.ts";
import { leaves, pointerOf } from "./pointer.ts";
import { RENDER_TRAITS, type RenderInput } from "./render.ts";
import { processRlimits } from "./rlimits.ts";
import { runtimeDefaultRules } from "./seccomp.ts";
import { askedCapabilities, effectiveSecurity, securityField } from "./security.ts";

export type OriginKind = "default" | "node" | "image" | "request" | "runtime" | "placement";

export interface Origin {
  /** JSON pointer (RFC 6901) of a string, number, boolean, or an empty object or list. */
  readonly pointer: string;
  readonly kind: OriginKind;
  /** For people: field of the request, entry of the image config, setting of the node, or the reason. */
  readonly source: string;
}

/** The origin of every leaf, in the order of the file. Throws when one has none: a value that nobody can account for is a fault of berth. */
export function explain(input: RenderInput, container: string, config: OciConfig): Origin[] {
  const subject = subjectOf(input, container);
  return leaves(config).map(({ path, value }) => {
    const found = originOf(subject, path, value);
    const pointer = pointerOf(path);
    if (!found) throw new Error(`the value at ${pointer} of ${container}'s config.json has no origin`);
    const byNode = found.kind === "request" ? input.defaulted?.get(found.source) : undefined;
    return byNode === undefined ? { pointer, kind: found.kind, source: found.source } : { pointer, kind: "node", source: byNode };
  });
}

type Found = Omit<Origin, "pointer">;

/** What a config.json is about; `app` is absent for pause. */
interface Subject {
  readonly input: RenderInput;
  readonly app: App | undefined;
}

/** An app, and where in a request or image, which may have very many of them, a variable or group stands. */
interface App {
  readonly index: number;
  readonly spec: ContainerSpec;
  /** Index of the last variable of a name, which wins. */
  readonly requestEnv: ReadonlyMap<string, number>;
  readonly imageEnv: ReadonlyMap<string, number>;
  /** Index of a group among those that the sandbox asks for. */
  readonly groups: ReadonlyMap<number, number>;
}

function subjectOf(input: RenderInput, container: string): Subject {
  const index = input.request.spec.containers.findIndex(({ name }) => name === container);
  const spec = input.request.spec.containers[index];
  if (spec) return { input, app: appOf(input, index, spec) };
  if (container === PAUSE_NAME) return { input, app: undefined };
  throw new Error(`there is no container ${container}`);
}

function appOf(input: RenderInput, index: number, spec: ContainerSpec): App {
  const ofImage = input.images.get(spec.name)?.config.env ?? [];
  const groups = input.request.spec.securityContext.supplementalGroups;
  return {
    index,
    spec,
    requestEnv: new Map(spec.env.map(({ name }, position) => [name, position])),
    imageEnv: new Map(ofImage.map((entry, position) => [nameOf(entry), position])),
    groups: new Map(groups.map((group, position) => [group, position] as const).toReversed()),
  };
}

/** NAME of NAME=VALUE. */
const nameOf = (entry: string): string => entry.slice(0, entry.indexOf("="));

const byDefault = (source: string): Found => ({ kind: "default", source });
const byRequest = (source: string): Found => ({ kind: "request", source });
const placed = (source: string): Found => ({ kind: "placement", source });
const quirk = (source: string): Found => ({ kind: "runtime", source });

function originOf(subject: Subject, path: readonly string[], value: unknown): Found | undefined {
  const [section, ...rest] = path;
  switch (section) {
    case "ociVersion":
      return quirk("crun 1.8 refuses newer versions");
    case "process":
      return subject.app ? processOrigin(subject, subject.app, rest, value) : pauseOrigin(subject, rest);
    case "root":
      return rootOrigin(subject, rest);
    case "hostname":
      return byRequest(subject.input.request.spec.hostname === "" ? "metadata.name" : "spec.hostname");
    case "mounts":
      return mountOrigin(subject, rest);
    case "annotations":
      return annotationOrigin(subject, rest);
    case "linux":
      return linuxOrigin(subject, rest);
    default:
      return undefined;
  }
}

function mountOrigin(subject: Subject, [position, field, option]: readonly string[]): Found | undefined {
  const { input, app } = subject;
  const baseline = baselineMounts(RENDER_TRAITS[input.adapter].isolation).length;
  if (Number(position) < baseline) return byDefault(`mounts of every container under a runtime ${kernelOf(subject)}`);
  if (!app) return undefined;
  const { spec } = input.request;
  const ofVolumes = appMounts(spec, app.spec, input.adapter, input.volumes);
  const { index, mount } = ofVolumes[Number(position) - baseline] ?? {};
  if (!mount && hostsMounts(spec, input.hosts)[Number(position) - baseline - ofVolumes.length])
    return field === "source" ? placed("where berth wrote spec.hostAliases") : byRequest("spec.hostAliases");
  const volumeMount = index === undefined ? undefined : app.spec.volumeMounts[index];
  if (!mount || !volumeMount) return undefined;
  const ofMount = `${fieldOf(app)}.volumeMounts[${index}]`;
  const ofVolume = volumeField(spec, volumeMount);
  if (field === "destination") return byRequest(`${ofMount}.mountPath`);
  if (field === "source" && volumeOf(spec, volumeMount).hostPath) return byRequest(`${ofVolume}.path`);
  if (field === "source" && mount.source !== mount.type) return placed(`where berth made ${ofVolume}`);
  return field === "options" ? optionOrigin(mount.options[Number(option)] ?? "", ofMount, ofVolume) : byRequest(ofVolume);
}

/** Path of the volume's kind in the request. */
function volumeField(spec: SandboxSpec, volumeMount: VolumeMount): string {
  const volume = volumeOf(spec, volumeMount);
  return `spec.volumes[${spec.volumes.indexOf(volume)}].${volumeKind(volume)}`;
}

function optionOrigin(option: string, ofMount: string, ofVolume: string): Found {
  switch (option.split("=")[0]) {
    case "ro":
    case "rw":
      return byRequest(`${ofMount}.readOnly`);
    case "rslave":
    case "rshared":
      return byRequest(`${ofMount}.mountPropagation`);
    case "rro":
      return byRequest(`${ofMount}.recursiveReadOnly`);
    case "size":
      return byRequest(`${ofVolume}.sizeLimit`);
    case "mode":
      return byRequest(`${ofVolume}.mode`);
    default:
      return byDefault("mounts of volumes");
  }
}

function annotationOrigin({ input, app }: Subject, [key = ""]: readonly string[]): Found {
  if (Object.hasOwn(input.request.metadata.annotations, key)) return byRequest(`metadata.annotations[${key}]`);
  const shared = !app && key in sharedMountAnnotations(input.request.spec, input.adapter, input.volumes);
  if (shared && key.endsWith(".source")) return placed("names the memory volume to runsc, in pause and its apps alike");
  return shared
    ? quirk("runsc shares a memory volume between containers when pause names it")
    : placed("names the container and its sandbox: runsc groups containers by these");
}

function kernelOf({ input }: Subject): string {
  return RENDER_TRAITS[input.adapter].isolation === "own-kernel" ? "with a kernel of its own" : "that shares the host's kernel";
}

/** Nothing of a request changes pause. */
function pauseOrigin(subject: Subject, [field]: readonly string[]): Found {
  return field === "rlimits" ? commonRlimit(subject) : byDefault("pause is the same in every sandbox");
}

function processOrigin(subject: Subject, app: App, [field = "", ...rest]: readonly string[], value: unknown): Found | undefined {
  switch (field) {
    case "terminal":
      return byDefault("no terminal");
    case "user":
      return userOrigin(subject, app, rest, value);
    case "args":
      return argsOrigin(subject, app, Number(rest[0]));
    case "env":
      return envOrigin(subject, app, String(value));
    case "cwd":
      return cwdOrigin(subject, app);
    case "capabilities":
      return capabilityOrigin(subject, app, rest, value);
    case "rlimits":
      return rlimitOrigin(subject, app, Number(rest[0]));
    case "apparmorProfile":
      return byRequest(`${securityField(subject.input.request.spec, app.index, "appArmorProfile")}.localhostProfile`);
    case "noNewPrivileges":
      return byRequest(`${fieldOf(app)}.securityContext.allowPrivilegeEscalation`);
    default:
      return undefined;
  }
}

const fieldOf = ({ index }: App): string => `spec.containers[${index}]`;

/** Names an entry of the image's config. */
function byImage({ input }: Subject, { spec }: App, entry: string): Found {
  const digest = input.images.get(spec.name)?.digest;
  return { kind: "image", source: `${entry} of ${digest ?? "the image config that was given"}` };
}

function userOrigin(subject: Subject, app: App, [field, position]: readonly string[], value: unknown): Found | undefined {
  const { spec } = subject.input.request;
  const security = effectiveSecurity(spec, app.spec);
  const imageUser = subject.input.images.get(app.spec.name)?.config.user ?? "";
  const asked = security.runAsUser !== undefined;
  const user = asked
    ? byRequest(securityField(spec, app.index, "runAsUser"))
    : imageUser === ""
      ? byDefault("root")
      : byImage(subject, app, "User");
  const asksGroup = security.runAsGroup !== undefined;
  const [userName = "", groupName = ""] = asked ? [String(security.runAsUser)] : imageUser.split(":");
  const nobodySays = user.kind === "default" && app.groups.size === 0;
  const ofUser =
    groupName !== "" || nobodySays ? user : byImage(subject, app, `group of user ${userName || "0"} in /etc/passwd (0 when it has none)`);
  const group = asksGroup ? byRequest(securityField(spec, app.index, "runAsGroup")) : ofUser;
  switch (field) {
    case "uid":
      return user;
    case "gid":
      return group;
    case "additionalGids": {
      const index = app.groups.get(Number(value));
      // The primary group stands first, whoever else names it.
      if (position === "0") return group;
      if (index !== undefined) return byRequest(`spec.securityContext.supplementalGroups[${index}]`);
      return byImage(subject, app, "/etc/group");
    }
    case "umask":
      return byRequest(`${fieldOf(app)}.securityContext.umask`);
    default:
      return undefined;
  }
}

function argsOrigin(subject: Subject, app: App, index: number): Found {
  const { command, args } = app.spec;
  const entrypoint = subject.input.images.get(app.spec.name)?.config.entrypoint.length ?? 0;
  const own = command.length > 0 ? command.length : entrypoint;
  if (index < own)
    return command.length > 0 ? byRequest(`${fieldOf(app)}.command[${index}]`) : byImage(subject, app, `Entrypoint[${index}]`);
  return args.length > 0 ? byRequest(`${fieldOf(app)}.args[${index - own}]`) : byImage(subject, app, `Cmd[${index - own}]`);
}

function envOrigin(subject: Subject, app: App, entry: string): Found {
  const name = nameOf(entry);
  const requested = app.requestEnv.get(name);
  if (requested !== undefined) return byRequest(`${fieldOf(app)}.env[${requested}]`);
  const ofImage = app.imageEnv.get(name);
  return ofImage !== undefined ? byImage(subject, app, `Env[${ofImage}]`) : byDefault("PATH where nobody sets one");
}

function cwdOrigin(subject: Subject, app: App): Found {
  if (app.spec.workingDir !== "") return byRequest(`${fieldOf(app)}.workingDir`);
  return (subject.input.images.get(app.spec.name)?.config.workingDir ?? "") === ""
    ? byDefault("the root folder")
    : byImage(subject, app, "WorkingDir");
}

function capabilityOrigin(subject: Subject, app: App, [set = ""]: readonly string[], value: unknown): Found {
  const request = app.spec.securityContext.capabilities;
  const field = `${fieldOf(app)}.securityContext.capabilities`;
  const emptied = set === "inheritable" && subject.input.capabilityMode === "no-inheritable";
  if (Array.isArray(value)) return emptied ? { kind: "node", source: "capabilityMode: no-inheritable" } : byRequest(`${field}.drop`);
  if (set === "ambient" || emptied) return byRequest(`${field}.ambient`);
  const added = request.add.indexOf(value as Capability);
  if (defaultCapabilitiesOf(request).includes(value as Capability) && !request.drop.includes("ALL")) {
    if (DEFAULT_CAPABILITIES.includes(value as Capability)) return byDefault("capabilities of every container");
    return { kind: "node", source: `defaultCapabilities: ${request.defaults}` };
  }
  const named = added >= 0 ? added : request.add.indexOf("ALL");
  return byRequest(named >= 0 ? `${field}.add[${named}]` : `${fieldOf(app)}.securityContext.privileged`);
}

function rlimitOrigin(subject: Subject, app: App, index: number): Found {
  const { leakingRlimits } = RENDER_TRAITS[subject.input.adapter];
  const written = processRlimits(leakingRlimits, app.spec.rlimits)[index];
  const asked = app.spec.rlimits.findIndex(({ type }) => type === written?.type);
  return asked < 0 ? commonRlimit(subject) : byRequest(`${fieldOf(app)}.rlimits[${asked}]`);
}

function commonRlimit({ input }: Subject): Found {
  if (RENDER_TRAITS[input.adapter].leakingRlimits)
    return quirk("runsc lets limits of one container reach the next, so each writes all of them");
  return byDefault("limit of every container");
}

function rootOrigin({ app }: Subject, [field]: readonly string[]): Found | undefined {
  if (field === "path") return placed("where berth mounted the root filesystem");
  if (!app) return byDefault("pause is the same in every sandbox");
  const asked = app.spec.securityContext.readOnlyRootFilesystem !== undefined;
  return asked ? byRequest(`${fieldOf(app)}.securityContext.readOnlyRootFilesystem`) : byDefault("writable unless asked otherwise");
}

function linuxOrigin(subject: Subject, [field, ...rest]: readonly string[]): Found | undefined {
  switch (field) {
    case "cgroupsPath":
      return placed("cgroupRoot, and the ids of sandbox and container");
    case "devices":
      return subject.app && deviceOrigin(subject.app, Number(rest[0]));
    case "resources":
      // The rule that denies all stands before those of the devices.
      if (subject.app && Number(rest[1]) > 0) return deviceOrigin(subject.app, Number(rest[1]) - 1);
      return rest.length === 0 ? quirk("a current runsc's update crashes without it") : byDefault("no devices but the standard ones");
    case "namespaces":
      return rest[1] === "path" ? placed("made and pinned before pause starts") : byDefault("namespaces of every container");
    case "maskedPaths":
    case "readonlyPaths":
      return byDefault(`kept from every container under a runtime ${kernelOf(subject)}`);
    case "rootfsPropagation":
      return subject.app && propagationOrigin(subject.app);
    case "seccomp":
      return subject.app && seccompOrigin(subject, subject.app, rest);
    default:
      return undefined;
  }
}

function propagationOrigin(app: App): Found {
  const wanted = rootfsPropagation(app.spec).rootfsPropagation === "rshared" ? "Bidirectional" : "HostToContainer";
  const index = app.spec.volumeMounts.findIndex(({ mountPropagation }) => mountPropagation === wanted);
  return byRequest(`${fieldOf(app)}.volumeMounts[${index}].mountPropagation`);
}

function deviceOrigin(app: App, index: number): Found {
  return { kind: "node", source: `the device ${app.spec.devices[index]?.path}, asked for by ${fieldOf(app)}.devices[${index}]` };
}

function seccompOrigin({ input }: Subject, app: App, [field, index]: readonly string[]): Found | undefined {
  const { spec } = input.request;
  const { seccompProfile } = effectiveSecurity(spec, app.spec);
  const profileField = securityField(spec, app.index, "seccompProfile");
  const asked = `asked for by ${input.defaulted?.get(profileField) ?? profileField}`;
  if (seccompProfile?.type === "Localhost")
    return { kind: "node", source: `${seccompProfile.localhostProfile} in seccompProfileDir, ${asked}` };
  if (seccompProfile?.type !== "RuntimeDefault") return undefined;
  const capabilities = finalCapabilities(askedCapabilities(app.spec.securityContext));
  const { errnoRet } = RENDER_TRAITS[input.adapter].seccomp;
  const rules = runtimeDefaultRules({ capabilities, architecture: input.architecture, errnoRet });
  const reason = field === "syscalls" ? rules[Number(index)]?.reason : "the node's processor, and EPERM for what no rule allows";
  return reason === undefined ? undefined : byDefault(`RuntimeDefault computed from the capabilities (${reason}), ${asked}`);
}

/** config.json for people: its lines as they are written, with the origin of each value behind it. */
export function annotate(configJson: string, provenance: readonly Origin[]): string {
  const lines = configJson.trimEnd().split("\n");
  const origins = provenance[Symbol.iterator]();
  // Not Math.max(...lines): a request may have more values than a call takes arguments.
  const width = lines.reduce((widest, line) => Math.max(widest, Math.min(MAX_COLUMN, line.length)), 0);
  return lines.map((line) => (isLeaf(line) ? `${line.padEnd(width)}  # ${originText(origins.next().value)}` : line)).join("\n");
}

const MAX_COLUMN = 80;

/** Leaves stand in the file in the order of their origins, one a line: lines that open or close an object or list are none. */
function isLeaf(line: string): boolean {
  return !/[[{]$/.test(line) && !/^\s*[\]}],?$/.test(line);
}

function originText(origin: Origin | undefined): string {
  if (!origin) throw new Error("a value of config.json has no origin");
  return `${origin.kind}: ${origin.source}`;
}
