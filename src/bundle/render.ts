/** The one function from an admitted spec to bundles. Create and `berth render` both call it. Pure and synchronous. */

import { BerthError, invalidRequest, toBerthError } from "../errors.ts";
import type { ImageConfig, UserDatabase } from "../image/image.ts";
import type { AdapterName } from "../runtime/runtime.ts";
import type { ContainerSpec, SandboxRequest, SandboxSpec } from "../sandbox/spec.ts";
import { baselineLinux, baselineMounts, type Isolation, type NamespacePaths } from "./baseline.ts";
import { type Capability, type CapabilityMode, capabilitySets, finalCapabilities } from "./capabilities.ts";
import { type DeviceNode, renderDevices } from "./devices.ts";
import {
  containerEnforcement,
  type EnforcementEntry,
  type EnforcementTraits,
  enforcementWarnings,
  type NodeGrants,
  sandboxEnforcement,
} from "./enforcement.ts";
import { mountEnforcement, refuseImpossibleMounts, volumeEnforcement } from "./mount-enforcement.ts";
import { appMounts, rootfsPropagation, sharedMountAnnotations, type VolumePlaces } from "./mounts.ts";
import { hostnameOf, hostsMounts } from "./hosts.ts";
import { configJson, type OciConfig, type OciLinux, type OciSeccomp, SECCOMP_ACTIONS } from "./oci.ts";
import { refuseImpossible } from "./impossible.ts";
import { PAUSE_NAME, pauseProcess } from "./pause.ts";
import { processArgs, processCwd, processEnv } from "./process.ts";
import { processRlimits } from "./rlimits.ts";
import { actionsOf, runtimeDefault } from "./seccomp.ts";
import type { Architecture } from "./seccomp-default.ts";
import { askedCapabilities, type EffectiveSecurity, effectiveSecurity, securityField } from "./security.ts";
import { isNamedByImage, resolveUser } from "./user.ts";

/** How a runtime differs from another in what must be written for it. The same for every version of an adapter. */
export interface RenderTraits {
  readonly isolation: Isolation;
  /** Containers of a sandbox have one set of limits between them: that of the container started last. */
  readonly leakingRlimits: boolean;
  /** What it makes of seccomp profiles. */
  readonly seccomp: {
    /** A refused call fails with the error number that its rule names, not always with EPERM. */
    readonly errnoRet: boolean;
    /** What a rule may do. */
    readonly actions: readonly OciSeccomp["defaultAction"][];
  };
}

const ALL_OF_SECCOMP = { errnoRet: true, actions: SECCOMP_ACTIONS };
/** Measured with releases of 2024 and 2026. */
const SECCOMP_OF_RUNSC: RenderTraits["seccomp"] = {
  errnoRet: false,
  actions: ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"],
};

export const RENDER_TRAITS: Readonly<Record<AdapterName, RenderTraits>> = {
  runsc: { isolation: "own-kernel", leakingRlimits: true, seccomp: SECCOMP_OF_RUNSC },
  runc: { isolation: "shared-kernel", leakingRlimits: false, seccomp: ALL_OF_SECCOMP },
  crun: { isolation: "shared-kernel", leakingRlimits: false, seccomp: ALL_OF_SECCOMP },
};

/** Where one container stands on the node. */
export interface ContainerPlace {
  readonly id: string;
  /** Absolute path of the root filesystem. */
  readonly rootfs: string;
}

/** What rendering reads of an image. */
export interface RenderImage {
  readonly config: ImageConfig;
  readonly users: UserDatabase;
  /** Digest of the manifest; undefined where only a config was given. Only provenance depends on it. */
  readonly digest: string | undefined;
}

export interface RenderInput {
  readonly request: SandboxRequest;
  /** Fields of the request that are the node's defaults, and where those are said. Only provenance and refusals depend on it. */
  readonly defaulted?: ReadonlyMap<string, string>;
  readonly adapter: AdapterName;
  readonly capabilityMode: CapabilityMode;
  /** Only the enforcement report depends on it. */
  readonly traits: EnforcementTraits;
  /** What the node can give; undefined when not known. Only the enforcement report depends on it. */
  readonly node: NodeGrants | undefined;
  /** By container name. */
  readonly images: ReadonlyMap<string, RenderImage>;
  /** Profiles of the node that the spec names, by that name. */
  readonly seccompProfiles: ReadonlyMap<string, OciSeccomp>;
  /** Devices of the node that the spec names, by path. */
  readonly devices: ReadonlyMap<string, DeviceNode>;
  /** The node's processor, for which RuntimeDefault is made. */
  readonly architecture: Architecture;
  readonly pause: ContainerPlace;
  /** By container name. */
  readonly places: ReadonlyMap<string, ContainerPlace>;
  readonly volumes: VolumePlaces;
  /** Where the file stands that is mounted at /etc/hosts, when there is one. */
  readonly hosts: string;
  readonly namespaces: NamespacePaths;
  /** Group of the sandbox in every hierarchy, such as /berth.slice/ID; undefined where the runtime must leave cgroups alone. */
  readonly cgroup: string | undefined;
}

export interface RenderedBundle {
  readonly container: string;
  readonly config: OciConfig;
  readonly configJson: string;
}

export interface RenderResult {
  /** Pause first, then the apps in the order of the spec. */
  readonly bundles: readonly RenderedBundle[];
  readonly enforcement: readonly EnforcementEntry[];
  readonly warnings: readonly string[];
}

/** Throws BerthError InvalidRequest, UserUnresolvable or ImageInvalid when image and request do not fit, NotEnforceable when request and runtime do not. */
export function render(input: RenderInput): RenderResult {
  refuseImpossible(input.request.spec, input.adapter, undefined);
  const mounts = { spec: input.request.spec, adapter: input.adapter, traits: input.traits };
  refuseImpossibleMounts(mounts);
  const apps = input.request.spec.containers.map((container, index) =>
    inContainer(container.name, () => renderApp(input, container, index)),
  );
  const enforcement = [...sandboxEnforcement(input.request.spec), ...volumeEnforcement(mounts), ...apps.flatMap((app) => app.enforcement)];
  const bundles = [bundle(PAUSE_NAME, pauseConfig(input)), ...apps.map((app) => bundle(app.name, app.config))];
  return { bundles, enforcement, warnings: enforcementWarnings(enforcement) };
}

/** Tells an error whose container it is about. */
function inContainer<T>(container: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw toBerthError(error).at({ container });
  }
}

/** Whether runsc needs --net-raw, a flag that counts for the whole sandbox. */
export function needsRawSockets(containers: readonly ContainerSpec[]): boolean {
  return containers.some((container) => finalCapabilities(askedCapabilities(container.securityContext)).includes("CAP_NET_RAW"));
}

function bundle(container: string, config: OciConfig): RenderedBundle {
  return { container, config, configJson: inContainer(container, () => configJson(config)) };
}

function pauseConfig(input: RenderInput): OciConfig {
  const { isolation, leakingRlimits } = RENDER_TRAITS[input.adapter];
  return {
    ociVersion: "1.0.2",
    process: pauseProcess(leakingRlimits),
    root: { path: input.pause.rootfs, readonly: true },
    hostname: hostnameOf(input.request),
    mounts: baselineMounts(isolation),
    annotations: {
      ...annotations("sandbox", input, PAUSE_NAME),
      ...sharedMountAnnotations(input.request.spec, input.adapter, input.volumes),
    },
    linux: baselineLinux({ isolation, namespaces: input.namespaces, cgroupsPath: cgroupsPath(input, input.pause.id) }),
  };
}

function renderApp(
  input: RenderInput,
  container: ContainerSpec,
  index: number,
): { name: string; config: OciConfig; enforcement: EnforcementEntry[] } {
  const { isolation, leakingRlimits } = RENDER_TRAITS[input.adapter];
  const image = input.images.get(container.name);
  const place = input.places.get(container.name);
  if (!image || !place) throw new Error(`no image or place for container ${container.name}`);
  const { allowPrivilegeEscalation, readOnlyRootFilesystem, umask } = container.securityContext;
  const security = effectiveSecurity(input.request.spec, container);
  const resolved = resolveUser({ ...security, imageUser: image.config.user, users: image.users });
  if (security.runAsNonRoot) refuseRoot(input, index, { uid: resolved.uid, imageUser: image.config.user });
  const user = umask === undefined ? resolved : { ...resolved, umask };
  const sets = capabilitySets(askedCapabilities(container.securityContext), user.uid, input.capabilityMode);
  const seccomp = seccompOf(input, index, sets.bounding);
  const config: OciConfig = {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user,
      args: processArgs(container, image.config, `spec.containers[${index}]`),
      env: processEnv(container, image.config),
      cwd: processCwd(container, image.config),
      capabilities: sets,
      rlimits: processRlimits(leakingRlimits, container.rlimits),
      ...(allowPrivilegeEscalation === false ? { noNewPrivileges: true } : {}),
      ...appArmorOf(input.adapter, security),
    },
    root: { path: place.rootfs, readonly: readOnlyRootFilesystem ?? false },
    mounts: [
      ...baselineMounts(isolation),
      ...appMounts(input.request.spec, container, input.adapter, input.volumes).map(({ mount }) => mount),
      ...hostsMounts(input.request.spec, input.hosts),
    ],
    annotations: { ...annotations("container", input, container.name), ...requestAnnotations(input) },
    linux: {
      ...withDevices(
        baselineLinux({ isolation, namespaces: input.namespaces, cgroupsPath: cgroupsPath(input, place.id) }),
        renderDevices(container.devices, input.devices),
      ),
      ...(seccomp ? { seccomp } : {}),
      ...rootfsPropagation(container),
    },
  };
  const { adapter, traits, node } = input;
  const about = { spec: input.request.spec, container, security, uid: user.uid, sets, seccomp };
  const enforcement = [
    ...containerEnforcement({ ...about, adapter, traits, node }),
    ...mountEnforcement({ spec: input.request.spec, adapter, traits }, container),
  ];
  return { name: container.name, config, enforcement };
}

/** runAsNonRoot: not as user 0, and not as a user that only the image can say the number of, as in Kubernetes. */
function refuseRoot({ request, defaulted }: RenderInput, index: number, { uid, imageUser }: { uid: number; imageUser: string }): void {
  const { runAsUser } = effectiveSecurity(request.spec, request.spec.containers[index] as ContainerSpec);
  const named = isNamedByImage({ runAsUser, imageUser });
  if (uid !== 0 && !named) return;
  const why = named
    ? `the image gives its user by name (${JSON.stringify(imageUser)}), which cannot be verified`
    : "the container would run as user 0";
  const field = securityField(request.spec, index, "runAsNonRoot");
  const source = defaulted?.get(field);
  const rule = `forbids it${source === undefined ? "" : ` by default (${source})`}: ${why}`;
  throw invalidRequest([{ field, rule, value: "true", allowed: "runAsUser with a number above 0" }]);
}

/** The last rule about a device counts, so these stand behind the one that denies all. */
function withDevices(linux: OciLinux, { devices, rules }: ReturnType<typeof renderDevices>): OciLinux {
  if (devices.length === 0) return linux;
  return { ...linux, devices, resources: { ...linux.resources, devices: [...(linux.resources.devices ?? []), ...rules] } };
}

/** Only a kernel that the host shares has AppArmor to confine with. */
function appArmorOf(adapter: AdapterName, { appArmorProfile }: EffectiveSecurity): { apparmorProfile?: string } {
  if (adapter === "runsc" || appArmorProfile?.type !== "Localhost") return {};
  return { apparmorProfile: appArmorProfile.localhostProfile };
}

/** The filter of an app; none when no profile is asked for. Each bundle has one of its own. */
function seccompOf(input: RenderInput, index: number, capabilities: readonly Capability[]): OciSeccomp | undefined {
  const { spec } = input.request;
  const { seccompProfile } = effectiveSecurity(spec, spec.containers[index] as ContainerSpec);
  const { errnoRet, actions } = RENDER_TRAITS[input.adapter].seccomp;
  if (seccompProfile?.type === "RuntimeDefault") return runtimeDefault({ capabilities, architecture: input.architecture, errnoRet });
  if (seccompProfile?.type !== "Localhost") return undefined;
  const profile = input.seccompProfiles.get(seccompProfile.localhostProfile);
  if (!profile) throw new Error(`no text of the seccomp profile ${seccompProfile.localhostProfile}`);
  const unknown = actionsOf(profile).filter((action) => !actions.includes(action));
  if (unknown.length === 0) return structuredClone(profile);
  const field = `${securityField(spec, index, "seccompProfile")}.localhostProfile`;
  const rule = `uses ${unknown.join(" and ")}, which ${input.adapter} refuses`;
  const value = JSON.stringify(seccompProfile.localhostProfile);
  const allowed = `a profile of ${actions.join(", ")}, or another runtime class`;
  throw new BerthError("NotEnforceable", `${field}: the profile ${value} ${rule}: use ${allowed}`, {
    violations: [{ field, rule, value, allowed }],
  });
}

/** Whether runsc needs --oci-seccomp, a flag that counts for the whole sandbox. */
export function needsSeccomp(spec: SandboxSpec): boolean {
  const types = spec.containers.map((container) => effectiveSecurity(spec, container).seccompProfile?.type ?? "Unconfined");
  return types.some((type) => type !== "Unconfined");
}

/** Whether runsc needs --allow-suid, a flag that counts for the whole sandbox. */
export function needsSetuid(containers: readonly ContainerSpec[]): boolean {
  return containers.some((container) => container.securityContext.allowPrivilegeEscalation === true);
}

/** runsc groups containers to a sandbox by these; the others ignore them. No key of a request is among them. */
function annotations(type: "sandbox" | "container", input: RenderInput, name: string): Record<string, string> {
  return {
    "io.kubernetes.cri.container-type": type,
    "io.kubernetes.cri.sandbox-id": input.pause.id,
    "io.kubernetes.cri.container-name": name,
  };
}

/** The same order whatever that of the request is. */
function requestAnnotations({ request }: RenderInput): Record<string, string> {
  return Object.fromEntries(Object.entries(request.metadata.annotations).toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

function cgroupsPath(input: RenderInput, containerId: string): string | undefined {
  return input.cgroup === undefined ? undefined : `${input.cgroup}/${containerId}`;
}
