/** What create and start have in common: from a record to a sandbox whose apps have all been started. */

import { mkdirSync } from "node:fs";
import type { DeviceNode } from "../bundle/devices.ts";
import { refuseUnenforced } from "../bundle/enforcement.ts";
import { refuseImpossible } from "../bundle/impossible.ts";
import { refuseImpossibleMounts } from "../bundle/mount-enforcement.ts";
import type { OciSeccomp } from "../bundle/oci.ts";
import { type ContainerPlace, render, type RenderInput, type RenderResult } from "../bundle/render.ts";
import { hostnameOf, hostsText, needsHostsFile } from "../bundle/hosts.ts";
import { writeBundle } from "../bundle/write.ts";
import { BerthError, toBerthError } from "../errors.ts";
import { type NamespaceFiles, SysctlError } from "../host/namespaces.ts";
import type { PinnedImage, UserDatabase } from "../image/image.ts";
import { readUserDatabase, readUserDatabaseOfLayout } from "../image/users.ts";
import { writeFileAtomic } from "../host/files.ts";
import { launchMonitor } from "../monitor/conmon.ts";
import { type AdmittedRequest, admitHostPaths, admitUsers, dependingOnImages } from "../policy/admission.ts";
import { COMMAND_TIMEOUT_MS, isCommandFault } from "../runtime/oci-cli.ts";
import { runtimeFor } from "../runtime/registry.ts";
import type { ResolvedRuntime, Runtime } from "../runtime/runtime.ts";
import { admitAgain } from "./admit.ts";
import { readDevices } from "./devices.ts";
import { type HostPaths, readHostPaths, requireUnmoved, withRealPaths } from "./host-paths.ts";
import { makeVolumes, prepareMountPoints, volumePlaces } from "./mounting.ts";
import { nodeArchitecture } from "./node-architecture.ts";
import { allContainers, type ContainerRecord, OF_A_RUN, type SandboxRecord } from "./record.ts";
import { type Live, type Operation, unwatch } from "./operations.ts";
import { type Rooms, runtimeContainer, sandboxCgroup } from "./rooms.ts";
import { readSeccompProfiles } from "./seccomp-profiles.ts";
import { stopSignalNumber } from "./signals.ts";
import { moveTo } from "./state.ts";
import { teardown } from "./teardown.ts";

/** What is to be an image: a container's, or a volume's. */
export interface WantedImage {
  readonly image?: string;
  /** What the reference named when the sandbox was created. */
  readonly imageDigest?: string;
}

/** How a story comes by an image. */
export type FindImage = (wanted: WantedImage) => Promise<PinnedImage>;

/**
 * Makes and starts everything of a sandbox and moves it to RUNNING. What it throws names stage and container; what had been made by
 * then is for `teardown` to undo, which knows it all by the record's ids. Until the state is CREATING nothing of the sandbox is touched.
 */
export async function launch(rooms: Rooms, live: Live, operation: Operation, findImage: FindImage): Promise<void> {
  const { record } = live;
  record.stages = operation.stages;
  const admitted = await operation.step("admission", () => admitAgain(record, rooms.policy.current, rooms.config));
  const resolved = await operation.step("runtime", () => rooms.runtimes.resolve(record.spec.runtimeClassName));
  refuseImpossible(record.spec, resolved.adapter, rooms.node);
  refuseImpossibleMounts({ spec: record.spec, adapter: resolved.adapter, traits: resolved.traits });
  const seccompProfiles = await operation.step("profiles", () => readSeccompProfiles(record.spec, rooms.config.seccompProfileDir));
  const devices = await operation.step("devices", () => readDevices(record.spec));
  const { images, volumeImages } = await operation.step("image", async () => ({
    images: await findImages(record, findImage),
    volumeImages: await findVolumeImages(record, findImage),
  }));
  const { hostPaths, users } = await operation.step("policy", async () => ({
    hostPaths: admittedHostPaths(admitted, record, resolved),
    users: await admitUsersOf(admitted, images),
  }));
  const { layers, volumeLayers } = await operation.step("unpack", async () => ({
    layers: await unpackLayers(rooms, images),
    volumeLayers: await unpackLayers(rooms, volumeImages),
  }));

  record.runtime = resolved;
  record.hostPaths = hostPaths;
  forgetLastRun(record);
  record.activeSince = operation.record.startedAt;
  moveTo(record, "CREATING");
  await operation.intend("rootfs");

  // Whatever an earlier run, or a try that was cut off, has left: it would be in the way.
  if (operation.verb === "start" || operation.record.args.attempts) await operation.step("clear", () => clear(rooms, live));
  const places = await operation.step("rootfs", () => mountRootfs(rooms, record, layers));
  await operation.step("volumes", () => {
    makeVolumes(rooms.volumes, record, { adapter: resolved.adapter, layers: volumeLayers });
    makeMountPoints(rooms, record, record.containers);
  });
  const namespaces = await operation.step("namespaces", () => makeNamespaces(rooms, record));
  await operation.step("cgroup", () => rooms.cgroups.create(monitorCgroup(rooms, record)));
  const rendered = await operation.step("render", () =>
    renderBundles(rooms, record, { images, users, seccompProfiles, devices, places, namespaces }),
  );
  await operation.step("bundles", () => writeBundles(rooms, record, rendered));

  const runtime = runtimeFor(resolved, record.id, record.spec);
  const create = (container: ContainerRecord): Promise<void> => createContainer(rooms, record, container, runtime);
  const start = (container: ContainerRecord): Promise<void> => startContainer(rooms, record, container, runtime);
  const createApps = async (): Promise<void> => {
    await forEachOf(record.containers, (app) => operation.step("app-create", () => create(app), app.name));
  };
  // Namespaces and cgroups stand before pause, so that what does not need pause itself is made beside it.
  const createPause = operation.step("pause-create", () => create(record.pause));
  const pauseStarted = createPause.then(() => operation.step("pause-start", () => start(record.pause)));
  const appsCreated = runtime.appsNeedPause ? createPause.then(createApps) : createApps();
  await allOf([pauseStarted, appsCreated]);
  await operation.created();
  for (const app of record.containers) await operation.step("app-start", () => start(app), app.name);

  record.startedAt = new Date().toISOString();
  moveTo(record, "RUNNING");
}

/** Refuses what symbolic links make of them too. */
function admittedHostPaths(admitted: AdmittedRequest, { spec }: SandboxRecord, { traits }: ResolvedRuntime): HostPaths {
  const paths = readHostPaths(spec, traits);
  admitHostPaths(admitted, withRealPaths(spec, paths));
  return paths;
}

async function clear(rooms: Rooms, live: Live): Promise<void> {
  unwatch(live);
  await teardown(rooms, live.record);
}

function forgetLastRun(record: SandboxRecord): void {
  for (const container of allContainers(record)) {
    container.state = "WAITING";
    container.reason = "";
    for (const key of [...OF_A_RUN, "restartCount", "restartRow", "restartAt"] as const) delete container[key];
  }
  delete record.startedAt;
  delete record.finishedAt;
}

/** Waits for all, also when one fails: an undo must not begin beside what still runs. Throws the first error. */
async function allOf(promises: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

/** More at once only make each of them slower. */
const PARALLEL_CREATES = 4;

async function forEachOf<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const work = async (): Promise<void> => {
    for (const item of queue) await act(item);
  };
  await allOf(Array.from({ length: Math.min(PARALLEL_CREATES, items.length) }, work));
}

/** Throws NotEnforceable for a setting that the kernel does not take; nothing stays then. */
function makeNamespaces(rooms: Rooms, { id, spec }: SandboxRecord): NamespaceFiles {
  const { sysctls } = spec.securityContext;
  try {
    return rooms.namespaces.create(id, sysctls);
  } catch (error) {
    if (!(error instanceof SysctlError)) throw error;
    const index = sysctls.findIndex(({ name }) => name === error.sysctl);
    const violation = {
      field: `spec.securityContext.sysctls[${index}]`,
      rule: `the kernel refuses it: ${error.code}`,
      value: `${error.sysctl}=${sysctls[index]?.value ?? ""}`,
      allowed: "a setting of the sandbox's own namespaces that this kernel has, with a value that it takes",
    };
    throw new BerthError("NotEnforceable", `${violation.field}: ${violation.value}: ${violation.rule}: use ${violation.allowed}`, {
      violations: [violation],
      cause: error,
    });
  }
}

/** By name of their container or volume. */
type Images = ReadonlyMap<string, PinnedImage>;

async function findImages(record: SandboxRecord, find: FindImage): Promise<Images> {
  const images = new Map<string, PinnedImage>();
  for (const container of record.containers) {
    const image = await find(container).catch((error: unknown) => {
      throw toBerthError(error).at({ container: container.name });
    });
    images.set(container.name, image);
    container.imageDigest = image.digest;
    container.layers = image.layers.map((layer) => layer.chainId);
    container.stopSignal = stopSignalNumber(image.config.stopSignal);
  }
  return images;
}

/** By volume name. */
async function findVolumeImages(record: SandboxRecord, find: FindImage): Promise<Images> {
  const pinned = new Map(record.volumes?.map(({ name, imageDigest }) => [name, { imageDigest }]));
  const images = new Map<string, PinnedImage>();
  for (const [index, { name, image }] of record.spec.volumes.entries()) {
    if (!image) continue;
    const found = await find({ image: image.reference, ...pinned.get(name) }).catch((thrown: unknown) => {
      const error = toBerthError(thrown);
      throw new BerthError(error.reason, `spec.volumes[${index}].image: ${error.message}`, error.detail);
    });
    images.set(name, found);
  }
  if (images.size > 0)
    record.volumes = [...images].map(([name, { digest, layers }]) => ({
      name,
      imageDigest: digest,
      layers: layers.map((layer) => layer.chainId),
    }));
  return images;
}

/**
 * Refuses users and groups of the images that policy does not allow, while nothing stands yet. What it read of the images is what is
 * rendered from; nothing is read, and nothing answered, where policy has nothing to say about it.
 */
async function admitUsersOf(admitted: AdmittedRequest, images: Images): Promise<ReadonlyMap<string, UserDatabase>> {
  if (dependingOnImages(admitted).length === 0) return new Map();
  const read = await Promise.all([...images].map(async ([name, image]) => [name, await readUserDatabaseOfLayout(image)] as const));
  const users = new Map(read);
  admitUsers(admitted, new Map([...images].map(([name, { config }]) => [name, { config, users: users.get(name) ?? {} }])));
  return users;
}

/** Layer folders by the same name, lowest first. */
async function unpackLayers(rooms: Rooms, images: Images): Promise<ReadonlyMap<string, string[]>> {
  const unpacked = await Promise.all([...images].map(async ([name, image]) => [name, await rooms.layers.unpack(image)] as const));
  for (const image of images.values()) rooms.pinnedImages.keep(image);
  return new Map(unpacked);
}

function mountRootfs(rooms: Rooms, record: SandboxRecord, layers: ReadonlyMap<string, string[]>): ReadonlyMap<string, ContainerPlace> {
  return new Map(record.containers.map(({ id, name }) => [name, { id, rootfs: rooms.rootfs.mount(id, layers.get(name) ?? []) }]));
}

/** Each time before a runtime sees the containers: what ran before may have put links in the way. */
export function makeMountPoints(rooms: Rooms, record: SandboxRecord, containers: readonly ContainerRecord[]): void {
  if (!record.runtime) throw new Error("the runtime is resolved before mount points are made");
  requireUnmoved(record.spec, record.hostPaths ?? {});
  const rootfs = new Map(containers.map(({ id, name }) => [name, rooms.rootfs.path(id)]));
  prepareMountPoints({ spec: record.spec, adapter: record.runtime.adapter, rootfs, volumes: volumePlaces(rooms.paths, record) });
}

interface Made {
  readonly images: Images;
  /** Of the images, where they were read already. */
  readonly users: ReadonlyMap<string, UserDatabase>;
  readonly seccompProfiles: ReadonlyMap<string, OciSeccomp>;
  readonly devices: ReadonlyMap<string, DeviceNode>;
  readonly places: ReadonlyMap<string, ContainerPlace>;
  readonly namespaces: NamespaceFiles;
}

function renderBundles(rooms: Rooms, record: SandboxRecord, { images, users, ...made }: Made): RenderResult {
  const withUsers = [...images].map(([name, { config, digest }]) => {
    return [name, { config, digest, users: users.get(name) ?? readUserDatabase(made.places.get(name)?.rootfs ?? "") }] as const;
  });
  return render(renderInput(rooms, record, { ...made, images: new Map(withUsers) }));
}

/** What a sandbox is rendered from, given what was found and made for it. */
export function renderInput(
  rooms: Rooms,
  record: SandboxRecord,
  made: Pick<RenderInput, "images" | "seccompProfiles" | "devices" | "places" | "namespaces">,
): RenderInput {
  if (!record.runtime) throw new Error("the runtime is resolved before bundles are rendered");
  const { adapter, traits } = record.runtime;
  return {
    ...made,
    request: { metadata: record, spec: record.spec },
    defaulted: new Map(Object.entries(record.defaulted ?? {})),
    adapter,
    capabilityMode: rooms.config.capabilityMode,
    traits,
    node: rooms.node,
    architecture: nodeArchitecture(),
    pause: { id: record.pause.id, rootfs: rooms.paths.pauseRootfs },
    volumes: volumePlaces(rooms.paths, record),
    hosts: rooms.paths.hosts(record.id),
    cgroup: traits.ignoreCgroups ? undefined : sandboxCgroup(rooms, record.id),
  };
}

function writeBundles(rooms: Rooms, record: SandboxRecord, rendered: RenderResult): void {
  if (record.spec.requireEnforcement) refuseUnenforced(record.spec.containers, rendered.enforcement);
  for (const bundle of rendered.bundles) writeBundle(rooms.paths.bundles(record.id), bundle);
  if (needsHostsFile(record.spec)) writeHosts(rooms, record);
  record.enforcement = [...rendered.enforcement];
  record.warnings = [...rendered.warnings];
}

/** For whatever user an app runs as. */
function writeHosts(rooms: Rooms, record: SandboxRecord): void {
  writeFileAtomic(rooms.paths.hosts(record.id), hostsText(hostnameOf({ metadata: record, spec: record.spec }), record.spec), 0o644);
}

/** Makes a container of its bundle, under a monitor of its own. Nothing of an earlier run may be there. */
export async function createContainer(rooms: Rooms, record: SandboxRecord, container: ContainerRecord, runtime: Runtime): Promise<void> {
  const target = runtimeContainer(rooms, record, container);
  mkdirSync(target.root, { recursive: true, mode: 0o700 });
  const { monitor, process } = await launchMonitor({
    containerId: container.id,
    runtime: runtime.createCommand(target),
    bundle: target.bundle,
    dir: target.dir,
    log: rooms.paths.log(record.id, container.name),
    procsFiles: rooms.cgroups.procsFiles(monitorCgroup(rooms, record)),
    timeoutMs: COMMAND_TIMEOUT_MS,
  }).catch((error: unknown) => {
    throw explainStart(error, container, record);
  });
  container.monitor = monitor;
  container.process = process;
  container.state = "CREATED";
}

export async function startContainer(rooms: Rooms, record: SandboxRecord, container: ContainerRecord, runtime: Runtime): Promise<void> {
  await runtime.start(runtimeContainer(rooms, record, container)).catch((error: unknown) => {
    throw explainStart(error, container, record);
  });
  container.state = "RUNNING";
  container.startedAt = new Date().toISOString();
}

/** Tells a command that cannot be run, which the caller can mend, from a runtime that fails. */
function explainStart(thrown: unknown, container: ContainerRecord, record: SandboxRecord): BerthError {
  const error = toBerthError(thrown);
  if (container === record.pause || !isCommandFault(error)) return error;
  return new BerthError("StartFailed", `the command of container ${container.name} cannot be run: ${error.message}`, error.detail);
}

/** The monitors' own group beside those of the containers: a v2 group with groups in it holds no processes. */
export function monitorCgroup(rooms: Rooms, record: SandboxRecord): string {
  return `${sandboxCgroup(rooms, record.id)}/monitor`;
}
