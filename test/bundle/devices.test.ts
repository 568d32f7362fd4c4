import { expect, test } from "vitest";
import type { DeviceNode } from "../../src/bundle/devices.ts";
import { explain } from "../../src/bundle/explain.ts";
import { configOf, type Node, refusal, renderApp, renderApps, renderInput, requestOf } from "./rendering.ts";

const FUSE: DeviceNode = { type: "c", major: 10, minor: 229, fileMode: 0o600, uid: 0, gid: 5 };
const DISK: DeviceNode = { type: "b", major: 254, minor: 70_000, fileMode: 0o660, uid: 0, gid: 6 };
const devices = new Map([
  ["/dev/fuse", FUSE],
  ["/srv/disk", DISK],
]);
const APP = { container: { devices: [{ path: "/dev/fuse" }, { path: "/srv/disk", containerPath: "/dev/disk/a", permissions: "r" }] } };

test("a device is written with its numbers, and a rule that lets the container at it behind the one that denies all", () => {
  for (const adapter of ["runc", "crun"] as const) {
    const node: Node = { adapter, devices };
    const [plain, { linux, ...rest }] = [renderApp({}, node), renderApp(APP, node)];
    const { linux: before, ...others } = plain;
    expect(rest).toEqual(others);
    expect(linux).toEqual({
      ...before,
      devices: [
        { path: "/dev/fuse", ...FUSE },
        { path: "/dev/disk/a", ...DISK },
      ],
      resources: {
        devices: [
          { allow: false, access: "rwm" },
          { allow: true, type: "c", major: 10, minor: 229, access: "rwm" },
          { allow: true, type: "b", major: 254, minor: 70_000, access: "r" },
        ],
      },
    });
    const [pause] = renderApps([{}], node).bundles;
    expect(renderApps([APP], node).bundles[0]?.configJson).toBe(pause?.configJson);
  }
});

test("each is reported, and each value of it names who asked for it", () => {
  const result = renderApps([APP], { devices });
  expect(result.enforcement.map(({ property, requested, enforced }) => [property, requested, enforced])).toEqual([
    ["devices[0]", "/dev/fuse rwm", true],
    ["devices[1]", "/srv/disk r", true],
  ]);
  const origins = explain(renderInput([APP], { devices }), "c0", configOf(result, "c0"));
  const of = (pointer: string) => origins.find((origin) => origin.pointer === pointer);
  const disk = { kind: "node", source: "the device /srv/disk, asked for by spec.containers[0].devices[1]" };
  for (const pointer of ["/linux/devices/1/path", "/linux/devices/1/minor", "/linux/resources/devices/2/access"])
    expect(of(pointer)).toMatchObject(disk);
  expect(of("/linux/resources/devices/0/allow")).toMatchObject({ kind: "default" });
});

test("runsc lets nobody at a device of the host: refused by field", () => {
  const error = refusal(() => renderApps([{}, APP], { adapter: "runsc", devices }));
  expect(error.reason).toBe("NotEnforceable");
  expect(error.detail.violations?.map(({ field, value }) => [field, value])).toEqual([
    ["spec.containers[1].devices[0]", "/dev/fuse"],
    ["spec.containers[1].devices[1]", "/srv/disk"],
  ]);
});

test.each([
  [{ path: "dev/fuse" }, "path: is not a clean absolute path"],
  [{ path: "/dev/../etc/x", containerPath: "/dev/a" }, "path: is not a clean absolute path"],
  [{ path: "/dev//a", containerPath: "/dev/a" }, "path: is not a clean absolute path"],
  [{ path: "/dev/a\0" }, "path: contains a NUL character"],
  [{ path: "/srv/disk" }, "path: cannot stand there in the container"],
  [{ path: "/dev/null" }, "path: cannot stand there in the container"],
  [{ path: "/dev/fuse", containerPath: "/dev/pts/0" }, "containerPath: is not a place for a device"],
  [{ path: "/dev/fuse", containerPath: "/etc/passwd" }, "containerPath: is not a place for a device"],
  [{ path: "/dev/fuse", containerPath: "/dev/../x" }, "containerPath: is not a place for a device"],
  [{ path: "/dev/fuse", containerPath: "/dev/" }, "containerPath: is not a place for a device"],
  [{ path: "/dev/fuse", permissions: "wr" }, "permissions: are not permissions of a device"],
  [{ path: "/dev/fuse", permissions: "" }, "permissions: are not permissions of a device"],
  [{ path: "/dev/fuse", permissions: "rwx" }, "permissions: are not permissions of a device"],
  [{ containerPath: "/dev/a" }, "path: is required"],
])("%j is refused", (device, fault) => {
  const { detail } = refusal(() => requestOf([{ devices: [device] }]));
  expect(detail.violations?.map(({ field, rule }) => `${field}: ${rule}`)).toContain(`spec.containers[0].devices[0].${fault}`);
  for (const { allowed } of detail.violations ?? []) expect(allowed).not.toBe("");
});

test("two devices do not stand in one place", () => {
  const { detail } = refusal(() => requestOf([{ devices: [{ path: "/dev/a" }, { path: "/dev/b", containerPath: "/dev/a" }] }]));
  expect(detail.violations).toMatchObject([
    { field: "spec.containers[0].devices[1].containerPath", rule: "is set by another entry", value: '"/dev/a"' },
  ]);
});
