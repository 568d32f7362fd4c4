/** What becomes of each property that was asked for: enforced or not, by what means, what to do. Pure. */

import { BerthError } from "../errors.ts";
import type { AdapterName, RuntimeTraits } from "../runtime/runtime.ts";
import type { AppArmorProfile, ContainerSpec, SandboxSpec, SeccompProfile } from "../sandbox/spec.ts";
import { type Capability, type CapabilityRequest, DEFAULT_CAPABILITIES, defaultCapabilitiesOf, finalCapabilities } from "./capabilities.ts";
import type { OciCapabilities, OciSeccomp } from "./oci.ts";
import { processRlimits, type Rlimit, type RlimitType, rlimitNumber } from "./rlimits.ts";
import { hasOtherErrno } from "./seccomp.ts";
import { askedCapabilities, type EffectiveSecurity } from "./security.ts";
import { namespaceOf } from "./sysctls.ts";

/** What becomes of one property that was asked for. */
export interface EnforcementEntry {
  /** Container that it is about; empty for the sandbox. */
  container: string;
  /** Field of the spec, such as securityContext.capabilities.add. */
  property: string;
  requested: string;
  enforced: boolean;
  /** By what means, or what prevents it. */
  mechanism: string;
  /** What to do or to know. */
  note: string;
}

/** What the report depends on of what a runtime can do. */
export type EnforcementTraits = Pick<RuntimeTraits, "ambient" | "umask" | "setuid" | "execSeccomp" | "recursiveReadOnly">;

/** What the node can give to containers under a runtime that shares its kernel. */
export interface NodeGrants {
  /** The agent's own bounding set. */
  readonly capabilities: ReadonlySet<string>;
  /** Highest hard limit that the agent may set. */
  readonly rlimits: ReadonlyMap<RlimitType, bigint>;
  /** Whether the kernel has AppArmor. */
  readonly appArmor: boolean;
}

export interface EnforcementInput {
  readonly spec: SandboxSpec;
  /** One of the spec's. */
  readonly container: ContainerSpec;
  /** The container's context with the sandbox's behind it. */
  readonly security: EffectiveSecurity;
  readonly uid: number;
  readonly sets: OciCapabilities;
  /** The filter that is written. */
  readonly seccomp: OciSeccomp | undefined;
  readonly adapter: AdapterName;
  readonly traits: EnforcementTraits;
  /** Undefined when not known. */
  readonly node: NodeGrants | undefined;
}

/** What was asked for the sandbox as a whole, beside what stands behind each container's context. */
export function sandboxEnforcement({ securityContext }: SandboxSpec): EnforcementEntry[] {
  return securityContext.sysctls.map(({ name, value }, index) => ({
    container: "",
    property: `securityContext.sysctls[${index}]`,
    requested: `${name}=${value}`,
    enforced: true,
    mechanism: `the host's kernel, in the sandbox's ${namespaceOf(name)} namespace`,
    note: "",
  }));
}

export function containerEnforcement(input: EnforcementInput): EnforcementEntry[] {
  return [
    ...nodeDefaultEntries(input),
    ...addEntries(input),
    ...dropEntries(input),
    ...ambientEntries(input),
    ...userEntries(input),
    ...processEntries(input),
    ...seccompEntries(input),
    ...property(input, "appArmorProfile", profileText(input.security.appArmorProfile), appArmorFate(input)),
    ...property(input, "procMount", input.container.securityContext.procMount, procMountFate(input)),
    ...rlimitEntries(input),
    ...deviceEntries(input),
  ];
}

/** Capabilities of the final set that the agent's own bounding set lacks: runc and crun cannot give them. */
export function missingOnNode(request: CapabilityRequest, adapter: AdapterName, node: NodeGrants | undefined): Capability[] {
  if (adapter === "runsc" || node === undefined) return [];
  return finalCapabilities(request).filter((name) => !node.capabilities.has(name));
}

/** The highest hard limit that the node can give where it is below what is asked for, which runc and crun die of; else undefined. */
export function rlimitCeiling({ type, hard }: Rlimit, adapter: AdapterName, node: NodeGrants | undefined): bigint | undefined {
  const highest = adapter === "runsc" ? undefined : node?.rlimits.get(type);
  return highest !== undefined && rlimitNumber(hard) > highest ? highest : undefined;
}

/** Why runc and crun cannot confine a container to a profile of this type; undefined when they can. */
export function missingAppArmor(
  type: AppArmorProfile["type"] | undefined,
  node: NodeGrants | undefined,
): { rule: string; allowed: string } | undefined {
  if (type === "RuntimeDefault")
    return {
      rule: "berth has no AppArmor profile of its own",
      allowed: "Localhost with a profile that the node has loaded, or no profile",
    };
  if (type !== "Localhost" || node?.appArmor !== false) return undefined;
  return { rule: "the node's kernel has no AppArmor", allowed: "no profile, or a node whose kernel has AppArmor" };
}

const grantedBy = (input: EnforcementInput): string => (input.adapter === "runsc" ? "the sandbox's own kernel" : "the host's kernel");

/** A node that gives more than every container has says so for each. */
function nodeDefaultEntries(input: EnforcementInput): EnforcementEntry[] {
  const { capabilities } = input.container.securityContext;
  if (capabilities.defaults === undefined) return [];
  const given = new Set(defaultCapabilitiesOf(capabilities));
  const names = input.sets.bounding.filter((name) => given.has(name) && !DEFAULT_CAPABILITIES.includes(name));
  const note = "nobody asked for it: drop what is not needed";
  const mechanism = `defaultCapabilities: ${capabilities.defaults} of this node`;
  return about(input, "capabilities", names, { enforced: true, mechanism, note });
}

function addEntries(input: EnforcementInput): EnforcementEntry[] {
  const { capabilities, privileged } = input.container.securityContext;
  const { add } = capabilities;
  const missing = new Set<string>(missingOnNode(askedCapabilities(input.container.securityContext), input.adapter, input.node));
  const added = input.sets.bounding.filter((name) => add.includes(name) || add.includes("ALL"));
  const others = input.sets.bounding.filter((name) => !added.includes(name));
  const lost = others.filter((name) => missing.has(name));
  return [
    ...askedEntries(input, "capabilities.add", added, missing),
    ...(privileged === true ? askedEntries(input, "privileged", others, missing) : missingEntries(input, "capabilities", lost)),
  ];
}

/** What becomes of capabilities that a field asks for. */
function askedEntries(
  input: EnforcementInput,
  property: AskingField,
  names: readonly Capability[],
  missing: ReadonlySet<string>,
): EnforcementEntry[] {
  const here = names.filter((name) => !missing.has(name));
  const lost = names.filter((name) => missing.has(name));
  return [
    ...missingEntries(input, property, lost),
    ...(input.uid === 0 ? grantedEntries(input, property, here, "") : ambientOrCleared(input, property, here)),
  ];
}

type AskingField = "capabilities.add" | "privileged";

/** What becomes of some capabilities. */
interface Fate {
  readonly enforced: boolean;
  readonly mechanism: string;
  readonly note: string;
}

/** The entry about these capabilities; none when there are none. */
function about(input: EnforcementInput, property: string, names: readonly string[], fate: Fate): EnforcementEntry[] {
  if (names.length === 0) return [];
  return [{ container: input.container.name, property: `securityContext.${property}`, requested: names.join(" "), ...fate }];
}

/** runc and crun refuse to start a container with these, those that it has only by default (`capabilities`) included. */
function missingEntries(input: EnforcementInput, property: AskingField | "capabilities", names: readonly string[]): EnforcementEntry[] {
  const wayOut = "give berthd the capability, or use runtime class runsc";
  const note = property === "capabilities" ? `every container has it by default: drop it, ${wayOut}` : wayOut;
  return about(input, property, names, { enforced: false, mechanism: "not in the node agent's own bounding set", note });
}

/** What execve leaves to a user that is not root, and what it clears. */
function ambientOrCleared(input: EnforcementInput, property: AskingField, names: readonly Capability[]): EnforcementEntry[] {
  const kept = names.filter((name) => input.traits.ambient && (input.sets.ambient ?? []).includes(name));
  const cleared = names.filter((name) => !kept.includes(name));
  const mechanism = `execve clears permitted and effective for uid ${input.uid} unless a capability is ambient`;
  return [
    ...grantedEntries(input, property, kept, "ambient set, "),
    ...about(input, property, cleared, { enforced: false, mechanism, note: wayOut(input) }),
  ];
}

function grantedEntries(input: EnforcementInput, property: AskingField, names: readonly Capability[], how: string): EnforcementEntry[] {
  const isFlag = (name: Capability): boolean => input.adapter === "runsc" && name === "CAP_NET_RAW";
  const note = property === "privileged" ? "what is hidden of /proc and /sys stays hidden, and devices are the usual ones" : "";
  const byFlag = { enforced: true, mechanism: `${how}runsc --net-raw, a flag of the whole sandbox`, note };
  const byKernel = { enforced: true, mechanism: `${how}${grantedBy(input)}`, note };
  const others = names.filter((name) => !isFlag(name));
  return [...about(input, property, others, byKernel), ...about(input, property, names.filter(isFlag), byFlag)];
}

function wayOut(input: EnforcementInput): string {
  const asRoot = "run as user 0 and let the program drop to its user itself (SETUID, SETGID, SETPCAP)";
  if (!input.traits.ambient)
    return `this runsc knows no ambient capabilities: ${asRoot}, or use a runsc of June 2026 or newer with capabilities.ambient: auto`;
  return `ask for capabilities.ambient: auto, or ${asRoot}`;
}

function dropEntries(input: EnforcementInput): EnforcementEntry[] {
  const { drop } = input.container.securityContext.capabilities;
  if (drop.length === 0) return [];
  const common = { container: input.container.name, property: "securityContext.capabilities.drop", requested: drop.join(" ") };
  const takesPorts = input.adapter === "runsc" && !input.sets.bounding.includes("CAP_NET_BIND_SERVICE");
  const note = takesPorts ? "gVisor lets every user take ports below 1024 without CAP_NET_BIND_SERVICE" : "";
  return [{ ...common, enforced: true, mechanism: grantedBy(input), note }];
}

function ambientEntries(input: EnforcementInput): EnforcementEntry[] {
  const ambient = input.sets.ambient ?? [];
  if (ambient.length === 0) return [];
  const common = { container: input.container.name, property: "securityContext.capabilities.ambient", requested: ambient.join(" ") };
  if (input.traits.ambient) return [{ ...common, enforced: true, mechanism: grantedBy(input), note: "" }];
  return [{ ...common, enforced: false, mechanism: "runsc before June 2026 ignores ambient capabilities", note: wayOut(input) }];
}

function userEntries(input: EnforcementInput): EnforcementEntry[] {
  const { runAsUser, runAsGroup, runAsNonRoot, supplementalGroups, supplementalGroupsPolicy } = input.security;
  const byKernel = { enforced: true, mechanism: grantedBy(input), note: "" };
  const groups = supplementalGroups.length === 0 ? undefined : supplementalGroups.join(" ");
  return [
    ...property(input, "runAsUser", runAsUser, byKernel),
    ...property(input, "runAsGroup", runAsGroup, byKernel),
    ...property(input, "runAsNonRoot", runAsNonRoot || undefined, {
      enforced: true,
      mechanism: "checked before anything was made",
      note: "",
    }),
    ...property(input, "supplementalGroups", groups, byKernel),
    ...property(input, "supplementalGroupsPolicy", supplementalGroupsPolicy === "Strict" ? "Strict" : undefined, {
      enforced: true,
      mechanism: "groups of the image's /etc/group are left out",
      note: "",
    }),
  ];
}

function processEntries(input: EnforcementInput): EnforcementEntry[] {
  const { allowPrivilegeEscalation, readOnlyRootFilesystem, umask } = input.container.securityContext;
  const octal = umask?.toString(8).padStart(4, "0");
  return [
    ...property(input, "allowPrivilegeEscalation", allowPrivilegeEscalation, escalationFate(input)),
    ...property(input, "readOnlyRootFilesystem", readOnlyRootFilesystem, rootFate(input)),
    ...property(input, "umask", octal, umaskFate(input)),
  ];
}

function escalationFate({ container, adapter, traits }: EnforcementInput): Fate {
  if (container.securityContext.allowPrivilegeEscalation === false) {
    return { enforced: true, mechanism: traits.setuid ? "no_new_privs" : "this runsc never lets a program gain privileges", note: "" };
  }
  if (adapter !== "runsc") return { enforced: true, mechanism: "the host's kernel", note: "" };
  if (traits.setuid) return { enforced: true, mechanism: "runsc --allow-suid, a flag of the whole sandbox", note: "" };
  const note = "use a runsc of 2026 or newer, or a runtime class of runc or crun";
  return { enforced: false, mechanism: "this runsc never lets a setuid program gain privileges", note };
}

function rootFate({ adapter }: EnforcementInput): Fate {
  const note = adapter === "runsc" ? "runsc mounts a writable tmpfs of its own on a /tmp that is empty in the image" : "";
  return { enforced: true, mechanism: "mount of the root filesystem", note };
}

function umaskFate({ adapter, traits }: EnforcementInput): Fate {
  if (traits.umask) return { enforced: true, mechanism: adapter === "runsc" ? "the sandbox's own kernel" : "the host's kernel", note: "" };
  return {
    enforced: false,
    mechanism: "runsc before 2026 ignores it (0022)",
    note: "set it in the program, or use a runsc of 2026 or newer",
  };
}

function seccompEntries(input: EnforcementInput): EnforcementEntry[] {
  return property(input, "seccompProfile", profileText(input.security.seccompProfile), seccompFate(input));
}

function profileText(profile: SeccompProfile | AppArmorProfile | undefined): string | undefined {
  return profile?.localhostProfile === undefined ? profile?.type : `${profile.type} ${profile.localhostProfile}`;
}

function appArmorFate({ adapter, security, node }: EnforcementInput): Fate {
  const { type } = security.appArmorProfile ?? {};
  if (type === "Unconfined") return { enforced: true, mechanism: "no profile is written", note: "" };
  if (adapter === "runsc")
    return { enforced: false, mechanism: "runsc takes no AppArmor profile", note: "leave it out, or use a runtime class of runc or crun" };
  const missing = missingAppArmor(type, node);
  if (missing !== undefined) return { enforced: false, mechanism: missing.rule, note: missing.allowed };
  return { enforced: true, mechanism: "AppArmor of the host's kernel, which must have the profile loaded", note: "" };
}

function procMountFate({ adapter, container }: EnforcementInput): Fate {
  if (adapter !== "runsc") return { enforced: true, mechanism: "masked and read-only paths", note: "" };
  const mechanism = "/proc is that of the sandbox's own kernel, in which runsc masks nothing";
  if (container.securityContext.procMount === "Default") return { enforced: true, mechanism, note: "" };
  return { enforced: false, mechanism, note: "leave it out: it would change nothing" };
}

function seccompFate({ adapter, traits, seccomp, security }: EnforcementInput): Fate {
  if (!seccomp) return { enforced: true, mechanism: "no filter is written", note: "" };
  if (adapter !== "runsc") return { enforced: true, mechanism: "filter in the host's kernel", note: "" };
  const byDefault = security.seccompProfile?.type === "RuntimeDefault";
  const notes = [
    ...(byDefault ? ["clone3 stays allowed, also for namespaces, as this runtime cannot refuse it with ENOSYS"] : []),
    ...(!byDefault && hasOtherErrno(seccomp) ? ["errnoRet is ignored: what is refused fails with EPERM"] : []),
    ...(traits.execSeccomp ? [] : ["this runsc does not filter processes that exec brings into a container"]),
  ];
  return { enforced: true, mechanism: "runsc --oci-seccomp, a flag of the whole sandbox", note: notes.join("; ") };
}

/** Refused under runsc, see impossible.ts. */
function deviceEntries({ container }: EnforcementInput): EnforcementEntry[] {
  return container.devices.map(({ path, permissions }, index) => ({
    container: container.name,
    property: `devices[${index}]`,
    requested: `${path} ${permissions}`,
    enforced: true,
    mechanism: "the host's device, let through by the container's cgroup",
    note: "",
  }));
}

function rlimitEntries(input: EnforcementInput): EnforcementEntry[] {
  return input.container.rlimits.map((limit, index) => ({
    container: input.container.name,
    property: `rlimits[${index}]`,
    requested: rlimitText(limit),
    ...rlimitFate(input, limit),
  }));
}

const rlimitText = ({ type, soft, hard }: Rlimit): string => `${type} ${soft}:${hard}`;

/** The containers of a runsc sandbox have one set of limits between them, which each start writes: the last one's counts (measured). */
function rlimitFate(input: EnforcementInput, limit: Rlimit): Fate {
  if (input.adapter !== "runsc") {
    const highest = rlimitCeiling(limit, input.adapter, input.node);
    if (highest === undefined) return { enforced: true, mechanism: "the host's kernel", note: "" };
    const note = `ask for at most ${highest}, start berthd with a higher limit, or use runtime class runsc`;
    return { enforced: false, mechanism: `above the node agent's own hard limit, ${highest}`, note };
  }
  const [soft, hard] = [rlimitNumber(limit.soft), rlimitNumber(limit.hard)];
  const same = ({ rlimits }: ContainerSpec): boolean =>
    processRlimits(true, rlimits).some((other) => other.type === limit.type && other.soft === soft && other.hard === hard);
  const last = input.spec.containers.at(-1) === input.container;
  if (input.spec.containers.every(same)) return { enforced: true, mechanism: "the sandbox's own kernel", note: "" };
  return {
    enforced: false,
    mechanism: `runsc has one set of limits for the whole sandbox: ${last ? "it reaches every container" : "that of the container started last counts"}`,
    note: "give every container of the sandbox the same limit, or use runtime class runc or crun",
  };
}

/** The entry about one field of the security context; none when it was not set. */
function property(input: EnforcementInput, name: string, value: string | number | boolean | undefined, fate: Fate): EnforcementEntry[] {
  return value === undefined ? [] : about(input, name, [String(value)], fate);
}

/** What requireEnforcement asks for: throws NotEnforceable with each entry that is not enforced, at its field of the request. */
export function refuseUnenforced(containers: readonly { readonly name: string }[], entries: readonly EnforcementEntry[]): void {
  const unenforced = entries.filter((entry) => !entry.enforced);
  if (unenforced.length === 0) return;
  const violations = unenforced.map(({ container, property, requested, mechanism, note }) => ({
    field: container === "" ? `spec.${property}` : `spec.containers[${containers.findIndex(({ name }) => name === container)}].${property}`,
    rule: `would not be enforced: ${mechanism}`,
    value: requested,
    allowed: note,
  }));
  const text = violations.map(({ field, value, rule }) => `${field} ${value} ${rule}`).join("; ");
  throw new BerthError("NotEnforceable", `requireEnforcement is set, and ${text}`, { violations });
}

/** One line for people for each entry that is not enforced. */
export function enforcementWarnings(entries: readonly EnforcementEntry[]): string[] {
  return entries
    .filter((entry) => !entry.enforced)
    .map(
      (entry) =>
        `${entry.container === "" ? "sandbox" : `container ${entry.container}`}: ${entry.property} ${entry.requested} is not effective: ${entry.mechanism}; ${entry.note}`,
    );
}
