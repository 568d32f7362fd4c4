import { expect, test } from "vitest";
import { ADAPTERS, configOf, type Node, refusal, renderApp, renderApps } from "./rendering.ts";

const VOLUMES = [
  { name: "disk", emptyDir: { sizeLimit: 5000 } },
  { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
  { name: "own", tmpfs: { mode: 0o750 } },
];

const mountsOf = (volumeMounts: readonly object[], node: Node = {}) => {
  const mounts = renderApp({ container: { volumeMounts } }, { sandbox: { volumes: VOLUMES }, ...node }).mounts;
  const baseline = renderApp({}, node).mounts;
  expect(mounts.slice(0, baseline.length)).toEqual(baseline);
  return mounts.slice(baseline.length);
};
const at = (name: string, mountPath: string, more: object = {}) => ({ name, mountPath, ...more });

test.each(ADAPTERS)("%s: mounts come by depth, whatever the order of the request", (adapter) => {
  const mounts = mountsOf([at("disk", "/a/b/c"), at("own", "/z"), at("memory", "/a/b"), at("disk", "/a")], { adapter });
  expect(mounts.map(({ destination }) => destination)).toEqual(["/z", "/a", "/a/b", "/a/b/c"]);
});

test.each(["runc", "crun"] as const)("%s: volumes of the node are bound, a tmpfs is mounted", (adapter) => {
  expect(mountsOf([at("disk", "/a"), at("memory", "/b", { readOnly: true }), at("own", "/c")], { adapter })).toEqual([
    { destination: "/a", type: "bind", source: "/var/lib/berth/volumes/disk", options: ["rbind", "rw", "rprivate"] },
    { destination: "/b", type: "bind", source: "/var/lib/berth/volumes/memory", options: ["rbind", "ro", "rprivate"] },
    { destination: "/c", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=0750", "rw"] },
  ]);
});

test("runsc: a memory volume is the sandbox's own, and pause names it; nothing else of pause changes", () => {
  const node: Node = { adapter: "runsc", sandbox: { volumes: VOLUMES } };
  const result = renderApps([{ container: { volumeMounts: [at("memory", "/b"), at("disk", "/a")] } }], node);
  expect(configOf(result, "c0").mounts.slice(-2)).toEqual([
    { destination: "/b", type: "tmpfs", source: "/var/lib/berth/volumes/memory", options: ["rw"] },
    { destination: "/a", type: "bind", source: "/var/lib/berth/volumes/disk", options: ["rbind", "rw", "rprivate"] },
  ]);
  const pause = configOf(result, "pause");
  const without = configOf(renderApps([{}], { adapter: "runsc" }), "pause");
  expect(pause).toEqual({
    ...without,
    annotations: {
      ...without.annotations,
      "dev.gvisor.spec.mount.memory.source": "/var/lib/berth/volumes/memory",
      "dev.gvisor.spec.mount.memory.type": "tmpfs",
      "dev.gvisor.spec.mount.memory.share": "pod",
      "dev.gvisor.spec.mount.memory.options": "rw,mode=0777,size=1048576",
    },
  });
});

test.each(["runc", "crun"] as const)("%s: nothing of pause changes", (adapter) => {
  const apps = [{ container: { volumeMounts: [at("memory", "/b")] } }];
  const pause = configOf(renderApps(apps, { adapter, sandbox: { volumes: VOLUMES } }), "pause");
  expect(pause).toEqual(configOf(renderApps([{}], { adapter }), "pause"));
});

test("recursively read-only is rro beside ro, for runsc ro alone; an old runtime cannot do it: refused, or reported where that is enough", () => {
  const mount = (recursiveReadOnly: string) => at("disk", "/a", { readOnly: true, recursiveReadOnly });
  for (const value of ["Enabled", "IfPossible"]) {
    expect(mountsOf([mount(value)])[0]?.options).toEqual(["rbind", "ro", "rro", "rprivate"]);
    expect(mountsOf([mount(value)], { adapter: "runsc" })[0]?.options).toEqual(["rbind", "ro", "rprivate"]);
  }
  const old: Node = { traits: { recursiveReadOnly: false }, sandbox: { volumes: VOLUMES } };
  const container = (value: string) => [{ container: { volumeMounts: [at("own", "/c"), mount(value)] } }];
  expect(refusal(() => renderApps(container("Enabled"), old))).toMatchObject({
    reason: "NotEnforceable",
    detail: { violations: [{ field: "spec.containers[0].volumeMounts[1].recursiveReadOnly", value: "Enabled" }] },
  });
  const { enforcement, warnings } = renderApps(container("IfPossible"), old);
  expect(enforcement.filter(({ enforced }) => !enforced).map(({ container: name, property }) => `${name} ${property}`)).toEqual([
    ...[" volumes[0].emptyDir.sizeLimit", "c0 volumeMounts[1].recursiveReadOnly"],
  ]);
  expect(warnings).toHaveLength(2);
  const ofTmpfs = [{ container: { volumeMounts: [at("own", "/c", { readOnly: true, recursiveReadOnly: "Enabled" })] } }];
  expect(() => renderApps(ofTmpfs, old)).not.toThrow();
});

test("each volume and what is asked of a mount has an entry; a limit on disk is not enforced, and the warning says so", () => {
  const apps = [{ container: { volumeMounts: [at("disk", "/a", { readOnly: true })] } }];
  const { enforcement, warnings } = renderApps(apps, { sandbox: { volumes: VOLUMES } });
  expect(enforcement.map(({ container, property, requested, enforced }) => [container, property, requested, enforced])).toEqual([
    ["", "volumes[0].emptyDir", "disk", true],
    ["", "volumes[0].emptyDir.sizeLimit", "5000", false],
    ["", "volumes[1].emptyDir", "Memory", true],
    ["", "volumes[1].emptyDir.sizeLimit", "1048576", true],
    ["", "volumes[2].tmpfs", "own", true],
    ["c0", "volumeMounts[0].readOnly", "true", true],
  ]);
  expect(warnings).toEqual([
    "sandbox: volumes[0].emptyDir.sizeLimit 5000 is not effective: nothing limits a folder on the node's disk yet; use medium: Memory, or leave the limit out",
  ]);
});

const HOST = { name: "host", hostPath: { path: "/srv/data" } };
const OF_HOST = { volumes: [...VOLUMES, HOST] };
const onHost = (more: object = {}, name = "host") => ({ container: { volumeMounts: [at(name, "/host", more)] } });

test.each(ADAPTERS)("%s: a host path is bound from where it stands on the node", (adapter) => {
  const { mounts, linux } = renderApp(onHost({ readOnly: true }), { adapter, sandbox: OF_HOST });
  expect(mounts.at(-1)).toEqual({
    ...{ destination: "/host", type: "bind", source: "/var/lib/berth/volumes/host" },
    options: ["rbind", "ro", "rprivate"],
  });
  expect(linux).not.toHaveProperty("rootfsPropagation");
});

test.each(["runc", "crun"] as const)("%s: propagation is of the mount and of what it is bound from", (adapter) => {
  const rendered = (mountPropagation: string) => {
    const app = { container: { ...onHost({ mountPropagation }).container, securityContext: { privileged: true } } };
    const { mounts, linux } = renderApp(app, { adapter, sandbox: OF_HOST });
    return [mounts.at(-1)?.options.at(-1), linux.rootfsPropagation];
  };
  expect(["None", "HostToContainer", "Bidirectional"].map(rendered)).toEqual([
    ["rprivate", undefined],
    ["rslave", "rslave"],
    ["rshared", "rshared"],
  ]);
});

test.each([
  ["runsc", onHost({ mountPropagation: "HostToContainer" }), "mountPropagation"],
  ["runsc", onHost({ mountPropagation: "Bidirectional" }), "mountPropagation"],
  ["runc", onHost({ mountPropagation: "Bidirectional" }), "mountPropagation"],
  ["crun", onHost({ mountPropagation: "HostToContainer" }, "disk"), "mountPropagation"],
] as const)("%s: what cannot propagate is refused: %j", (adapter, app, field) => {
  expect(refusal(() => renderApps([app], { adapter, sandbox: OF_HOST }))).toMatchObject({
    reason: "NotEnforceable",
    detail: { violations: [{ field: `spec.containers[0].volumeMounts[0].${field}`, allowed: expect.stringContaining("None") as string }] },
  });
});

test("a mount below a host path is refused: its mount point would be made on the node", () => {
  const app = { container: { volumeMounts: [at("own", "/host/a"), at("host", "/host"), at("disk", "/hosted")] } };
  expect(refusal(() => renderApps([app], { sandbox: OF_HOST })).detail.violations).toMatchObject([
    { field: "spec.containers[0].volumeMounts[0].mountPath", value: "/host/a" },
  ]);
  const etc = { container: { volumeMounts: [at("host", "/etc")] } };
  const sandbox = { ...OF_HOST, hostAliases: [{ ip: "10.0.0.1", hostnames: ["db"] }] };
  expect(refusal(() => renderApps([etc], { sandbox })).detail.violations).toMatchObject([
    { field: "spec.hostAliases", value: "/etc/hosts" },
  ]);
});

test.each(["Socket", "CharDevice", "BlockDevice"])("runsc opens no %s of the node: refused", (type) => {
  const sandbox = { volumes: [{ name: "host", hostPath: { path: "/srv/x", type } }] };
  expect(refusal(() => renderApps([onHost()], { adapter: "runsc", sandbox })).detail.violations).toMatchObject([
    { field: "spec.volumes[0].hostPath.type", value: type },
  ]);
  expect(() => renderApps([onHost()], { sandbox })).not.toThrow();
});
