/** Rendering without a sandbox: the same function as a create, with placeholder ids and the paths of a default node. */

import type { EnforcementTraits, NodeGrants } from "../bundle/enforcement.ts";
import { explain, type Origin } from "../bundle/explain.ts";
import {
  type ContainerPlace,
  render,
  type RenderedBundle,
  type RenderImage,
  type RenderInput,
  type RenderResult,
} from "../bundle/render.ts";
import type { Architecture } from "../bundle/seccomp-default.ts";
import type { BerthConfig } from "../config.ts";
import { toBerthError } from "../errors.ts";
import { parseImageConfig, resolveImage } from "../image/layout.ts";
import { readUserDatabaseOfLayout } from "../image/users.ts";
import { NodePaths } from "../paths.ts";
import { admitHostPaths, admitUsers } from "../policy/admission.ts";
import { withDefaultCapabilities, withoutDefaults } from "../policy/defaults.ts";
import type { NodePolicy } from "../policy/policy.ts";
import { traitsOfVersion } from "../runtime/probe.ts";
import { findClass } from "../runtime/registry.ts";
import { admitRequest } from "./admit.ts";
import { readDevices } from "./devices.ts";
import { readHostPaths, withRealPaths } from "./host-paths.ts";
import { volumePlaces } from "./mounting.ts";
import { nodeArchitecture } from "./node-architecture.ts";
import { readSeccompProfiles } from "./seccomp-profiles.ts";
import { stopSignalNumber } from "./signals.ts";
import type { ContainerSpec, SandboxRequest } from "./spec.ts";

/** Version that a class is taken to have offline unless it declares one. */
const ASSUMED_RUNSC = "release-20260905.0";

export interface OfflineOptions {
  readonly config: BerthConfig;
  /** Texts of image configs that replace what the layouts say, by container name; "" is for all others. */
  readonly imageConfigs: ReadonlyMap<string, string>;
  /** What this node can give; undefined: told nothing about. */
  readonly node: NodeGrants | undefined;
  /** Absent: nothing is added and nothing refused. */
  readonly policy?: NodePolicy | undefined;
  /** What the binary of a class can do; absent: by its declared version. */
  readonly traitsOf?: (className: string) => Promise<EnforcementTraits>;
  /** Absent: this machine's. */
  readonly architecture?: Architecture;
}

export interface ExplainedBundle extends RenderedBundle {
  readonly provenance: readonly Origin[];
}

export interface ExplainedResult extends RenderResult {
  readonly bundles: readonly ExplainedBundle[];
}

/**
 * Renders what a create would write, and tells where each value comes from. Throws what a create would throw for a bad image or user,
 * and PolicyRefused where there is a policy.
 */
export async function renderOffline(wanted: SandboxRequest, options: OfflineOptions): Promise<ExplainedResult> {
  const admitted = options.policy && admitRequest(wanted, options.policy, options.config);
  const { request, defaulted } = admitted ?? withDefaultCapabilities(withoutDefaults(wanted), options.config.defaultCapabilities);
  const { adapter, version = ASSUMED_RUNSC } = findClass(options.config, request.spec.runtimeClassName);
  const seccompProfiles = readSeccompProfiles(request.spec, options.config.seccompProfileDir);
  const devices = readDevices(request.spec);
  // Elsewhere than on a node of its own, a manifest is rendered with the paths that it names.
  const hostPaths = options.traitsOf && readHostPaths(request.spec, { hideUnifiedCgroup: false });
  if (admitted && hostPaths) admitHostPaths(admitted, withRealPaths(request.spec, hostPaths));
  const images = new Map<string, RenderImage>();
  for (const container of request.spec.containers) images.set(container.name, await imageOf(container, options.imageConfigs));
  if (admitted) admitUsers(admitted, images);
  const pause = placeholderId(0);
  const input: RenderInput = {
    request,
    defaulted,
    adapter,
    capabilityMode: options.config.capabilityMode,
    traits: (await options.traitsOf?.(request.spec.runtimeClassName)) ?? traitsOfVersion(adapter, version),
    node: options.node,
    images,
    seccompProfiles,
    devices,
    architecture: options.architecture ?? nodeArchitecture(),
    pause: { id: pause, rootfs: DEFAULT_PATHS.pauseRootfs },
    volumes: volumePlaces(DEFAULT_PATHS, { id: pause, spec: request.spec, hostPaths }),
    hosts: DEFAULT_PATHS.hosts(pause),
    places: new Map(request.spec.containers.map(({ name }, index) => [name, place(placeholderId(index + 1))])),
    namespaces: { net: namespace(pause, "net"), ipc: namespace(pause, "ipc"), uts: namespace(pause, "uts") },
    cgroup: `${options.config.cgroupRoot}/${pause}`,
  };
  const result = render(input);
  return {
    ...result,
    bundles: result.bundles.map((bundle) => ({ ...bundle, provenance: explain(input, bundle.container, bundle.config) })),
  };
}

const DEFAULT_PATHS = new NodePaths("/var/lib/berth", "/run/berth");

const place = (id: string): ContainerPlace => ({ id, rootfs: `${DEFAULT_PATHS.rootfs}/${id}/rootfs` });
const namespace = (id: string, type: string): string => `${DEFAULT_PATHS.namespaces}/${id}/${type}`;
/** 32 digits, pause first. */
const placeholderId = (index: number): string => index.toString(16).padStart(32, "0");

async function imageOf(container: ContainerSpec, replaced: ReadonlyMap<string, string>): Promise<RenderImage> {
  try {
    const image = await readImage(container, replaced);
    // It is not written into the bundle, but a create would refuse it.
    stopSignalNumber(image.config.stopSignal);
    return image;
  } catch (error) {
    throw toBerthError(error).at({ stage: "image", container: container.name });
  }
}

async function readImage({ name, image: reference }: ContainerSpec, replaced: ReadonlyMap<string, string>): Promise<RenderImage> {
  const text = replaced.get(name) ?? replaced.get("");
  if (text !== undefined) return { config: parseImageConfig(text, "--image-config"), users: {}, digest: undefined };
  return await readImageOfLayout(reference);
}

/** What rendering reads of an image, from its layers and not from what a container made of them. */
export async function readImageOfLayout(reference: string): Promise<RenderImage> {
  const image = await resolveImage(reference);
  return { config: image.config, users: await readUserDatabaseOfLayout(image), digest: image.digest };
}
