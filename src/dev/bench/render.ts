/** How fast render() is: the pure function alone, for a sandbox of pause and one app. */

import { render, type RenderInput } from "../../bundle/render.ts";
import { traitsOfVersion } from "../../runtime/probe.ts";
import { parseSandboxRequest } from "../../sandbox/spec.ts";

const WARM_UP = 500;
const MEASURE_MS = 1_000;

/** Microseconds for one call, the mean over a second. */
export function renderMicroseconds(): number {
  const input = renderInput();
  for (let call = 0; call < WARM_UP; call++) render(input);
  const started = performance.now();
  let calls = 0;
  for (; performance.now() - started < MEASURE_MS; calls++) render(input);
  return ((performance.now() - started) * 1000) / calls;
}

function renderInput(): RenderInput {
  const container = {
    name: "app",
    image: "oci:/images/app:latest",
    command: ["/bin/app"],
    args: ["--listen", "0.0.0.0:8080"],
    env: [{ name: "HOME", value: "/home/app" }],
    securityContext: { capabilities: { add: ["NET_ADMIN", "SETUID", "SETGID"] }, runAsUser: 1000, runAsGroup: 1000 },
  };
  const id = (digit: string): string => digit.repeat(32);
  const config = { entrypoint: [], cmd: [], env: ["PATH=/usr/bin:/bin"], user: "", workingDir: "", stopSignal: "" };
  return {
    request: parseSandboxRequest({ metadata: { name: "bench" }, spec: { runtimeClassName: "runsc", containers: [container] } }),
    adapter: "runsc",
    capabilityMode: "merged",
    traits: traitsOfVersion("runsc", "release-20260905.0"),
    node: undefined,
    images: new Map([["app", { config, users: {}, digest: undefined }]]),
    seccompProfiles: new Map(),
    devices: new Map(),
    architecture: "x86-64",
    pause: { id: id("0"), rootfs: "/var/lib/berth/pause/rootfs" },
    places: new Map([["app", { id: id("1"), rootfs: `/var/lib/berth/containers/${id("1")}/rootfs` }]]),
    volumes: new Map(),
    hosts: "/var/lib/berth/bundles/etc.hosts",
    namespaces: { net: "/run/berth/ns/0/net", ipc: "/run/berth/ns/0/ipc", uts: "/run/berth/ns/0/uts" },
    cgroup: `/berth.slice/${id("0")}`,
  };
}
