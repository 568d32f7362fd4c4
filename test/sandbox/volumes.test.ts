/** What the parser makes of volumes and mounts, and what it refuses. */

import { expect, test } from "vitest";
import { BerthError, type Violation } from "../../src/errors.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";

const DATA = { name: "data", emptyDir: {} };

function parse(volumes: unknown, volumeMounts: unknown = [], more: object = {}) {
  return parseSandboxRequest({
    metadata: { name: "box" },
    spec: { volumes, containers: [{ name: "web", image: "oci:/images/busybox", volumeMounts, ...more }] },
  }).spec;
}

function violations(act: () => unknown): readonly Violation[] {
  try {
    act();
  } catch (error) {
    if (error instanceof BerthError && error.reason === "InvalidRequest") return error.detail.violations ?? [];
    throw error;
  }
  throw new Error("it was not refused");
}

/** Field, value and rule of each violation; each must name a way out. */
function faults(volumes: unknown, volumeMounts: unknown = []): string[] {
  return violations(() => parse(volumes, volumeMounts)).map(({ field, rule, value, allowed }) => {
    expect(allowed, field).not.toBe("");
    return `${field} = ${value}: ${rule}`;
  });
}

test("volumes of each kind, with what they leave out", () => {
  const volumes = [
    { name: "disk", emptyDir: {} },
    { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
    { name: "bytes", emptyDir: { sizeLimit: 5 } },
    { name: "own", tmpfs: {} },
    { name: "small", tmpfs: { sizeLimit: "1k", mode: 0o700 } },
    { name: "any", hostPath: { path: "/srv//./data:1/" } },
    { name: "typed", hostPath: { path: "/srv", type: "Directory" } },
  ];
  expect(parse(volumes).volumes).toEqual([
    { name: "disk", emptyDir: { medium: "" } },
    { name: "memory", emptyDir: { medium: "Memory", sizeLimit: 1_048_576 } },
    { name: "bytes", emptyDir: { medium: "", sizeLimit: 5 } },
    { name: "own", tmpfs: { mode: 0o1777 } },
    { name: "small", tmpfs: { sizeLimit: 1000, mode: 0o700 } },
    { name: "any", hostPath: { path: "/srv/data:1", type: "" } },
    { name: "typed", hostPath: { path: "/srv", type: "Directory" } },
  ]);
});

test("a mount with what it leaves out; its path is cleaned", () => {
  const mount = (mountPath: string) => parse([DATA], [{ name: "data", mountPath }]).containers[0]?.volumeMounts[0];
  expect(mount("/data")).toEqual({ name: "data", mountPath: "/data", readOnly: false, recursiveReadOnly: "Disabled" });
  expect(["/data/", "//data//./deep/", "/.../x", "/process", "/system/dev"].map((path) => mount(path)?.mountPath)).toEqual([
    ...["/data", "/data/deep", "/.../x", "/process", "/system/dev"],
  ]);
});

test.each([
  [{ name: "x" }, 'spec.volumes[0] = "x": has no kind'],
  [{ name: "x", emptyDir: {}, tmpfs: {} }, 'spec.volumes[0] = "x": has several kinds: emptyDir and tmpfs'],
  [{ name: "a/b", emptyDir: {} }, 'spec.volumes[0].name = "a/b": is not a DNS label'],
  [{ name: "..", emptyDir: {} }, 'spec.volumes[0].name = "..": is not a DNS label'],
  [{ name: "x", emptyDir: { medium: "HugePages" } }, 'spec.volumes[0].emptyDir.medium = "HugePages": is not a medium'],
  [{ name: "x", emptyDir: { sizeLimit: "0" } }, 'spec.volumes[0].emptyDir.sizeLimit = "0": is not a size'],
  [{ name: "x", emptyDir: { sizeLimit: -5 } }, "spec.volumes[0].emptyDir.sizeLimit = -5: is not a size"],
  [{ name: "x", emptyDir: { sizeLimit: "1Mi,uid=0" } }, 'spec.volumes[0].emptyDir.sizeLimit = "1Mi,uid=0": is not a size'],
  [{ name: "x", tmpfs: { mode: 0o2000 } }, "spec.volumes[0].tmpfs.mode = 1024: is not a mode"],
  [{ name: "x", tmpfs: { mode: 1.5 } }, "spec.volumes[0].tmpfs.mode = 1.5: is not a mode"],
])("the volume %j is refused", (volume, fault) => {
  expect(faults([volume])).toContain(fault);
});

test.each([
  [{ path: "/" }, "path", "/", "is the root folder, which has the kernel's folders in it"],
  [{ path: "/proc/sys/" }, "path", "/proc/sys/", "lies in /proc, by which the node's kernel is set"],
  [{ path: "//sys" }, "path", "//sys", "lies in /sys, by which the node's kernel is set"],
  [{ path: "/srv/../etc" }, "path", "/srv/../etc", "climbs with '..'"],
  [{ path: "srv" }, "path", "srv", "is not absolute"],
  [{ path: "/a\0b" }, "path", "/a\0b", "contains a NUL character"],
  [{ path: "/srv", type: "DirectoryOrCreate" }, "type", "DirectoryOrCreate", "would make something on the node, which berth never does"],
  [{ path: "/srv", type: "FileOrCreate" }, "type", "FileOrCreate", "would make something on the node, which berth never does"],
  [{ path: "/srv", type: "Fifo" }, "type", "Fifo", "is not a type of host path"],
])("the host path %j is refused", (hostPath, field, value, rule) => {
  expect(faults([{ name: "x", hostPath }])).toContain(`spec.volumes[0].hostPath.${field} = ${JSON.stringify(value)}: ${rule}`);
});

const MOUNT_PATH = "spec.containers[0].volumeMounts[0].mountPath";

test.each([
  ["", "is not absolute"],
  ["data", "is not absolute"],
  ["./data", "is not absolute"],
  ["/", "is the root folder"],
  ["//.", "is the root folder"],
  ["/proc", "lies in /proc, which is the kernel's"],
  ["//proc/./sys/", "lies in /proc, which is the kernel's"],
  ["/sys/fs/cgroup", "lies in /sys, which is the kernel's"],
  ["/dev", "lies in /dev, which is the kernel's"],
  ["/dev/shm", "lies in /dev, which is the kernel's"],
  ["/data/../proc", "climbs with '..'"],
  ["/..", "climbs with '..'"],
  ["/a:b", "contains ':'"],
  ["/a\0b", "contains a NUL character"],
  [`/${"x".repeat(256)}`, "is longer than a path can be"],
  [`/${"é".repeat(128)}`, "is longer than a path can be"],
  ["/x".repeat(2048), "is longer than a path can be"],
])("the mount path %j is refused", (mountPath, rule) => {
  const found = violations(() => parse([DATA], [{ name: "data", mountPath }]));
  expect(found.map(({ field }) => field)).toEqual(found.map(() => MOUNT_PATH));
  expect(found.map((violation) => violation.rule)).toContain(rule);
  expect(found.every(({ allowed }) => allowed !== "")).toBe(true);
});

test("two mounts at one path, a volume that is not there, and two of one name are refused", () => {
  const twice = ["/data", "/other", "/data/"].map((mountPath) => ({ name: "data", mountPath }));
  expect(faults([DATA], twice)).toEqual(['spec.containers[0].volumeMounts[2].mountPath = "/data": is used by another mount']);
  expect(faults([DATA], [{ name: "date", mountPath: "/x" }])).toEqual([
    'spec.containers[0].volumeMounts[0].name = "date": is no volume of the sandbox',
  ]);
  expect(faults([DATA, DATA])).toEqual(['spec.volumes[1].name = "data": is used by another volume of the sandbox']);
});

test("recursiveReadOnly needs readOnly", () => {
  const mount = { name: "data", mountPath: "/x", recursiveReadOnly: "Enabled" };
  expect(faults([DATA], [mount])).toEqual([
    'spec.containers[0].volumeMounts[0].recursiveReadOnly = "Enabled": is only used with readOnly: true',
  ]);
  expect(faults([DATA], [{ ...mount, recursiveReadOnly: "Always" }])).toEqual([
    'spec.containers[0].volumeMounts[0].recursiveReadOnly = "Always": is not a way to mount read-only',
  ]);
  expect(parse([DATA], [{ ...mount, readOnly: true }]).containers[0]?.volumeMounts[0]?.recursiveReadOnly).toBe("Enabled");
});

test("mountPropagation is one of three, and not beside recursiveReadOnly", () => {
  const mount = { name: "data", mountPath: "/x", readOnly: true };
  for (const mountPropagation of ["None", "HostToContainer", "Bidirectional"])
    expect(parse([DATA], [{ ...mount, mountPropagation }]).containers[0]?.volumeMounts[0]).toMatchObject({ mountPropagation });
  const field = "spec.containers[0].volumeMounts[0].mountPropagation";
  expect(faults([DATA], [{ ...mount, mountPropagation: "rshared" }])).toEqual([`${field} = "rshared": is not a way to propagate mounts`]);
  expect(faults([DATA], [{ ...mount, recursiveReadOnly: "IfPossible", mountPropagation: "HostToContainer" }])).toEqual([
    `${field} = "HostToContainer": would let mounts in that are not read-only`,
  ]);
});

test("more volumes or mounts than any sandbox needs are refused", () => {
  const many = Array.from({ length: 257 }, (_, index) => ({ name: `v${index}`, emptyDir: {} }));
  expect(faults(many)).toEqual([expect.stringMatching(/^spec\.volumes = .*has more than 256 entries$/)]);
  const mounts = many.map((_, index) => ({ name: "data", mountPath: `/v${index}` }));
  expect(faults([DATA], mounts)).toEqual([expect.stringMatching(/^spec\.containers\[0\]\.volumeMounts = .*has more than 256 entries$/)]);
});

const MODEL = { name: "model", image: { reference: "oci:/srv/model:1" } };

test("an image is a volume whose mounts are read-only, whatever they leave out", () => {
  const { volumes, containers } = parse(
    [MODEL, DATA],
    [
      { name: "model", mountPath: "/m" },
      { name: "data", mountPath: "/d" },
    ],
  );
  expect(volumes[0]).toEqual({ name: "model", image: { reference: "oci:/srv/model:1", pullPolicy: "" } });
  expect(containers[0]?.volumeMounts.map(({ readOnly }) => readOnly)).toEqual([true, false]);
  for (const pullPolicy of ["", "IfNotPresent", "Never"])
    expect(parse([{ name: "model", image: { ...MODEL.image, pullPolicy } }]).volumes[0]?.image?.pullPolicy).toBe(pullPolicy);
});

test("what an image cannot be is refused by its field", () => {
  const mounts = [
    { name: "model", mountPath: "/a", readOnly: true },
    { name: "model", mountPath: "/b", readOnly: false },
  ];
  expect(faults([MODEL], mounts)).toEqual(["spec.containers[0].volumeMounts[1].readOnly = false: cannot be false: an image is read-only"]);
  expect(faults([{ name: "model", image: { reference: "docker.io/x", pullPolicy: "Always" } }])).toEqual([
    expect.stringMatching(/^spec\.volumes\[0\]\.image\.reference = "docker\.io\/x": /),
    'spec.volumes[0].image.pullPolicy = "Always": is not possible, as berth pulls from no registry yet',
  ]);
  expect(faults([{ name: "model", image: {} }])[0]).toMatch(/^spec\.volumes\[0\]\.image\.reference = /);
});
