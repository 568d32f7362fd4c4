import { closeSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { needsRawSockets, render } from "../../src/bundle/render.ts";
import { writeBundle } from "../../src/bundle/write.ts";
import { makeScratch } from "../support/scratch.ts";
import { ADAPTERS, configOf, refusal, renderApp, renderApps, renderInput, requestOf } from "./rendering.ts";

/** All that a request can ask for so far, to show what it does not reach. */
const GREEDY = {
  command: ["evil"],
  env: [{ name: "PATH", value: "/evil" }],
  workingDir: "/evil",
  securityContext: { runAsUser: 1000, runAsGroup: 1000, capabilities: { add: ["ALL"], ambient: "auto" } },
};
const SHARED_KERNEL = ["runc", "crun"] as const;

test("pause comes first, then the apps in the order of the spec", () => {
  expect(renderApps([{}, {}, {}]).bundles.map(({ container }) => container)).toEqual(["pause", "c0", "c1", "c2"]);
});

test.each(ADAPTERS)("%s: pause is root with the default capabilities and fixed args, env and cwd", (adapter) => {
  const { process } = configOf(renderApps([{ container: GREEDY }], { adapter, capabilityMode: "no-inheritable" }), "pause");
  const byDefault = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
  const { rlimits: _rlimits, ...rest } = process;
  expect(rest).toEqual({
    terminal: false,
    user: { uid: 0, gid: 0 },
    args: ["/pause", "-P"],
    env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    cwd: "/",
    capabilities: { bounding: byDefault, effective: byDefault, inheritable: byDefault, permitted: byDefault },
  });
});

test("ociVersion is 1.0.2 and linux.resources is there in every bundle of every class", () => {
  for (const adapter of ADAPTERS) {
    for (const { config, configJson } of renderApps([{}, { container: GREEDY }], { adapter }).bundles) {
      expect(configJson).toMatch(/^\{\n {2}"ociVersion": "1\.0\.2",\n/);
      expect(config.linux.resources).toBeTypeOf("object");
      expect(configJson.endsWith("}\n")).toBe(true);
    }
  }
});

test("only pause has a hostname and a root that is read-only", () => {
  const { bundles } = renderApps([{}]);
  expect(bundles.map(({ config }) => [config.hostname, config.root])).toEqual([
    ["sandbox", { path: "/var/lib/berth/pause", readonly: true }],
    [undefined, { path: "/var/lib/berth/rootfs/c0", readonly: false }],
  ]);
});

test("annotations are berthd's own: a caller's labels do not get there", () => {
  const input = renderInput([{}]);
  const metadata = { ...input.request.metadata, labels: { "dev.gvisor.internal/strace": "true" } };
  const { bundles } = render({ ...input, request: { ...input.request, metadata } });
  expect(bundles.map(({ config }) => config.annotations)).toEqual([
    {
      "io.kubernetes.cri.container-type": "sandbox",
      "io.kubernetes.cri.sandbox-id": "p".repeat(32),
      "io.kubernetes.cri.container-name": "pause",
    },
    {
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.sandbox-id": "p".repeat(32),
      "io.kubernetes.cri.container-name": "c0",
    },
  ]);
});

test("every container joins the sandbox's net, ipc and uts namespaces and has pid and mount namespaces of its own", () => {
  for (const adapter of ADAPTERS) {
    for (const { config } of renderApps([{}], { adapter }).bundles) {
      expect(config.linux.namespaces.slice(0, 5)).toEqual([
        { type: "pid" },
        { type: "mount" },
        { type: "network", path: "/run/berth/ns/net" },
        { type: "ipc", path: "/run/berth/ns/ipc" },
        { type: "uts", path: "/run/berth/ns/uts" },
      ]);
    }
  }
});

test.each(SHARED_KERNEL)("%s: an own cgroup namespace, masked and read-only paths, no devices, whatever is asked for", (adapter) => {
  for (const { config } of renderApps([{}, { container: GREEDY }], { adapter }).bundles) {
    expect(config.linux.namespaces).toContainEqual({ type: "cgroup" });
    expect(config.linux.maskedPaths).toEqual(expect.arrayContaining(["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]));
    expect(config.linux.readonlyPaths).toEqual(expect.arrayContaining(["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"]));
    expect(config.linux.resources).toEqual({ devices: [{ allow: false, access: "rwm" }] });
    const options = (destination: string) => config.mounts.find((mount) => mount.destination === destination)?.options;
    expect(options("/sys")).toContain("ro");
    expect(options("/sys/fs/cgroup")).toContain("ro");
    expect(options("/proc")).toEqual(["nosuid", "noexec", "nodev"]);
  }
});

test("runsc: the bare baseline, for nothing of the host is behind it", () => {
  for (const { config } of renderApps([{}, { container: GREEDY }], { adapter: "runsc" }).bundles) {
    expect(Object.keys(config.linux)).toEqual(["cgroupsPath", "resources", "namespaces"]);
    expect(config.linux.resources).toEqual({});
    expect(config.mounts.map(({ destination }) => destination)).toEqual(["/proc", "/dev", "/sys", "/dev/pts", "/dev/shm"]);
    expect(config.mounts.find(({ destination }) => destination === "/sys")?.options).toEqual(["nosuid", "noexec", "nodev", "ro"]);
  }
});

test("mounts are the same for every container and stand by depth", () => {
  for (const adapter of ADAPTERS) {
    const [pause, ...apps] = renderApps([{}, { container: GREEDY }], { adapter }).bundles;
    for (const app of apps) expect(app.config.mounts).toEqual(pause?.config.mounts);
    const depths = (pause?.config.mounts ?? []).map(({ destination }) => destination.split("/").length);
    expect(depths).toEqual(depths.toSorted((a, b) => a - b));
  }
});

test("each container has a cgroup of its own below the sandbox's; none where the runtime must leave cgroups alone", () => {
  const paths = (node: object) => renderApps([{}], node).bundles.map(({ config }) => config.linux.cgroupsPath);
  expect(paths({})).toEqual([`/berth.slice/sandbox/${"p".repeat(32)}`, `/berth.slice/sandbox/${"c0".padEnd(32, "0")}`]);
  for (const { configJson } of renderApps([{}], { cgroup: undefined }).bundles) expect(configJson).not.toContain("cgroupsPath");
});

test("what one container asks for does not reach the next", () => {
  const result = renderApps([{ container: GREEDY, image: { env: ["A=1"], user: "7:7" } }, {}]);
  const alone = configOf(renderApps([{}]), "c0").process;
  expect(configOf(result, "c1").process).toEqual(alone);
});

test("an empty security context is none", () => {
  for (const adapter of ADAPTERS) {
    const none = renderApp({}, { adapter });
    const empty = { securityContext: { capabilities: { add: [], drop: ["", " "], ambient: "never" } } };
    expect(renderApp({ container: empty }, { adapter })).toEqual(none);
  }
});

test("config.json is the same for every version of a runtime: only the report depends on what a binary can do", () => {
  const bytes = (ambient: boolean) =>
    renderApps([{ container: GREEDY }], { ambient, adapter: "runsc" }).bundles.map(({ configJson }) => configJson);
  expect(bytes(true)).toEqual(bytes(false));
});

test("runsc needs --net-raw when any container ends up with NET_RAW", () => {
  const needed = (...capabilities: object[]) =>
    needsRawSockets(requestOf(capabilities.map((entry) => ({ securityContext: { capabilities: entry } }))).spec.containers);
  expect(needed({}, { add: ["NET_ADMIN"] })).toBe(false);
  expect(needed({}, { add: ["net_raw"] })).toBe(true);
  expect(needed({ add: ["ALL"] })).toBe(true);
  expect(needed({ add: ["ALL", "NET_RAW"], drop: ["NET_RAW"] })).toBe(false);
});

test("a bundle is written for its owner only, over the one that was there", () => {
  using scratch = makeScratch();
  const [pause] = renderApps([{}]).bundles;
  if (!pause) throw new Error("no pause");
  const file = join(scratch.path, "pause", "config.json");
  writeBundle(scratch.path, { ...pause, configJson: "old" });
  const old = openSync(file, "r");
  try {
    writeBundle(scratch.path, pause);
    expect(readFileSync(file, "utf8")).toBe(pause.configJson);
    // Written beside and renamed: nobody ever reads half of it.
    expect(readFileSync(old, "utf8")).toBe("old");
  } finally {
    closeSync(old);
  }
  expect(readdirSync(join(scratch.path, "pause"))).toEqual(["config.json"]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(statSync(join(scratch.path, "pause")).mode & 0o777).toBe(0o700);
});

test("an error of one app names its container", () => {
  const error = refusal(() => renderApps([{}, { image: { user: "ghost" } }]));
  expect(error).toMatchObject({ reason: "UserUnresolvable", detail: { container: "c1" } });
});
