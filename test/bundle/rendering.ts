/** Rendering for tests: a request with everything that it leaves out, on a node with placeholder paths. */

import type { CapabilityMode } from "../../src/bundle/capabilities.ts";
import type { DeviceNode } from "../../src/bundle/devices.ts";
import type { EnforcementTraits, NodeGrants } from "../../src/bundle/enforcement.ts";
import type { OciConfig, OciSeccomp } from "../../src/bundle/oci.ts";
import { type RenderInput, type RenderResult, render } from "../../src/bundle/render.ts";
import type { Architecture } from "../../src/bundle/seccomp-default.ts";
import { BerthError } from "../../src/errors.ts";
import type { ImageConfig, UserDatabase } from "../../src/image/image.ts";
import type { AdapterName } from "../../src/runtime/runtime.ts";
import { parseSandboxRequest, type SandboxRequest } from "../../src/sandbox/spec.ts";

export const ADAPTERS = ["runsc", "runc", "crun"] as const;

/** Parts of an app that a test is about; the rest is as when nobody says anything. */
export interface App {
  readonly container?: object;
  readonly image?: Partial<ImageConfig>;
  readonly users?: UserDatabase;
}

/** What a test changes about the node. */
export interface Node {
  readonly adapter?: AdapterName;
  readonly capabilityMode?: CapabilityMode;
  readonly ambient?: boolean;
  /** What else the runtime can do; everything where nothing is said. */
  readonly traits?: Partial<EnforcementTraits>;
  /** Fields of the sandbox's spec beside its containers. */
  readonly sandbox?: object;
  /** Digest of every image. */
  readonly digest?: string;
  readonly architecture?: Architecture;
  readonly seccompProfiles?: ReadonlyMap<string, OciSeccomp>;
  readonly devices?: ReadonlyMap<string, DeviceNode>;
  readonly node?: NodeGrants;
  readonly cgroup?: undefined;
}

const PLAIN_IMAGE: ImageConfig = { entrypoint: [], cmd: ["sh"], env: [], user: "", workingDir: "", stopSignal: "" };

/** A parsed request of containers c0, c1 ... */
export function requestOf(containers: readonly object[], sandbox: object = {}): SandboxRequest {
  const named = containers.map((container, index) => ({ name: `c${index}`, image: "oci:/images/busybox", ...container }));
  return parseSandboxRequest({ metadata: { name: "sandbox" }, spec: { ...sandbox, containers: named } });
}

export function renderInput(apps: readonly App[], { ambient = true, traits, sandbox, digest, ...node }: Node = {}): RenderInput {
  const request = requestOf(
    apps.map((app) => app.container ?? {}),
    sandbox,
  );
  const named = request.spec.containers.map(({ name }, index) => ({ name, app: apps[index] ?? {} }));
  return {
    request,
    adapter: "runc",
    capabilityMode: "merged",
    traits: { ambient, umask: true, setuid: true, execSeccomp: true, recursiveReadOnly: true, ...traits },
    node: undefined,
    images: new Map(named.map(({ name, app }) => [name, { config: { ...PLAIN_IMAGE, ...app.image }, users: app.users ?? {}, digest }])),
    seccompProfiles: new Map(),
    devices: new Map(),
    architecture: "x86-64",
    pause: { id: "p".repeat(32), rootfs: "/var/lib/berth/pause" },
    places: new Map(named.map(({ name }) => [name, { id: name.padEnd(32, "0"), rootfs: `/var/lib/berth/rootfs/${name}` }])),
    volumes: new Map(request.spec.volumes.map(({ name }) => [name, `/var/lib/berth/volumes/${name}`])),
    hosts: "/var/lib/berth/bundles/etc.hosts",
    namespaces: { net: "/run/berth/ns/net", ipc: "/run/berth/ns/ipc", uts: "/run/berth/ns/uts" },
    cgroup: "/berth.slice/sandbox",
    ...node,
  };
}

export function renderApps(apps: readonly App[], node: Node = {}): RenderResult {
  return render(renderInput(apps, node));
}

/** config.json of the one app. */
export function renderApp(app: App = {}, node: Node = {}): OciConfig {
  return configOf(renderApps([app], node), "c0");
}

export function configOf(result: RenderResult, container: string): OciConfig {
  const found = result.bundles.find((bundle) => bundle.container === container);
  if (!found) throw new Error(`no bundle of ${container}`);
  return found.config;
}

/** The BerthError that this throws. */
export function refusal(act: () => unknown): BerthError {
  try {
    act();
  } catch (error) {
    if (error instanceof BerthError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}
