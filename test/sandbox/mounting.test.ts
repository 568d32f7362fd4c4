/** Mount points in root filesystems that hostile images and volumes would lead elsewhere. */

import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Violation } from "../../src/errors.ts";
import { prepareMountPoints } from "../../src/sandbox/mounting.ts";
import { refusal, requestOf } from "../bundle/rendering.ts";
import { makeScratch } from "../support/scratch.ts";

type Mounts = readonly (readonly [volume: string, mountPath: string])[];
const ALIASES = [{ ip: "10.0.0.5", hostnames: ["db"] }];

/** A root filesystem, two volumes of the node, and a folder that nobody may touch. */
class Places implements Disposable {
  readonly #scratch = makeScratch();
  readonly rootfs = this.#folder("rootfs");
  readonly outside = this.#folder("outside");
  readonly volumes = new Map(["one", "two"].map((name) => [name, this.#folder(`volumes/${name}`)]));

  prepare(mounts: Mounts, adapter: "runsc" | "runc" = "runc", hostAliases: readonly object[] = []): void {
    const volumeMounts = mounts.map(([name, mountPath]) => ({ name, mountPath }));
    const volumes = [
      { name: "one", emptyDir: {} },
      { name: "two", emptyDir: { medium: "Memory" } },
      { name: "own", tmpfs: { mode: 0o711 } },
    ];
    const { spec } = requestOf([{ volumeMounts }, { volumeMounts }], { volumes, hostAliases });
    prepareMountPoints({ spec, adapter, rootfs: new Map([["c0", this.rootfs]]), volumes: this.volumes });
  }

  /** The one violation. */
  fault(...mounts: Mounts): Violation | undefined {
    return refusal(() => this.prepare(mounts)).detail.violations?.[0];
  }

  has(path: string): boolean {
    return existsSync(join(this.rootfs, path));
  }

  link(target: string, path: string): void {
    symlinkSync(target, join(this.rootfs, path));
  }

  #folder(name: string): string {
    const path = join(this.#scratch.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  [Symbol.dispose](): void {
    const touched = readdirSync(this.outside);
    this.#scratch[Symbol.dispose]();
    if (touched.length > 0) throw new Error(`made outside: ${touched.join(" ")}`);
  }
}

const PATH = "spec.containers[0].volumeMounts[0].mountPath";

test("a mount point is made with the folders above it; one that is there stays as it is", () => {
  using places = new Places();
  mkdirSync(join(places.rootfs, "there"), { mode: 0o700 });
  places.prepare([
    ["one", "/a/b/c"],
    ["two", "/there"],
  ]);
  expect([statSync(join(places.rootfs, "a/b/c")).mode & 0o777, statSync(join(places.rootfs, "there")).mode & 0o777]).toEqual([
    ...[0o755, 0o700],
  ]);
});

test("the folder below a tmpfs has the mode of the tmpfs", () => {
  using places = new Places();
  mkdirSync(join(places.rootfs, "there"), { mode: 0o700 });
  places.prepare([
    ["own", "/there"],
    ["one", "/outer"],
    ["own", "/outer/inner"],
  ]);
  expect(statSync(join(places.rootfs, "there")).mode & 0o7777).toBe(0o711);
  expect(statSync(join(places.volumes.get("one") ?? "", "inner")).mode & 0o7777).toBe(0o711);
});

test("a link of the image resolves inside its root, whatever it says", () => {
  using places = new Places();
  places.link("/run", "var-run");
  places.link(places.outside, "absolute");
  places.link("../../../../../../../..", "up");
  mkdirSync(join(places.rootfs, "run"));
  mkdirSync(join(places.rootfs, places.outside), { recursive: true });
  places.prepare([
    ["one", "/var-run/x"],
    ["one", "/absolute/y"],
    ["one", "/up/z"],
  ]);
  expect([places.has("run/x"), places.has(`${places.outside}/y`), places.has("z")]).toEqual([true, true, true]);
});

test("a link that leads nowhere inside the root is refused: nothing is made where it would lead outside", () => {
  using places = new Places();
  places.link(join(places.outside, "made"), "dangling");
  places.link("loop", "loop");
  expect(places.fault(["one", "/dangling"])).toMatchObject({ field: PATH, rule: expect.stringContaining("leads nowhere") as string });
  expect(places.fault(["one", "/dangling/below"])).toMatchObject({ field: PATH, rule: expect.stringContaining("leads nowhere") as string });
  expect(places.fault(["one", "/loop"])).toMatchObject({ field: PATH, rule: expect.stringContaining("loop") as string });
});

test.each(["/proc", "/sys", "/dev", "/", "/proc/sys"])("a link of the image to %s is refused", (target) => {
  using places = new Places();
  mkdirSync(join(places.rootfs, target), { recursive: true });
  places.link(target, "data");
  expect(places.fault(["one", "/data"])).toMatchObject({ field: PATH, value: '"/data"', allowed: expect.stringMatching(/./) as string });
  expect(places.fault(["one", "/data"])?.rule).toContain(`to ${target}, which`);
});

test("a file in the place of a mount point, or above it, is refused", () => {
  using places = new Places();
  writeFileSync(join(places.rootfs, "file"), "");
  expect(places.fault(["one", "/file"])?.rule).toContain("not a folder");
  expect(places.fault(["one", "/file/below"])?.rule).toContain("not a folder");
});

test("a mount in a volume is made in the volume; one that no folder of the node is under is the runtime's", () => {
  using places = new Places();
  places.prepare([
    ["two", "/outer/deep/inner"],
    ["one", "/outer"],
    ["own", "/own"],
    ["one", "/own/inner"],
  ]);
  expect(statSync(join(places.volumes.get("one") ?? "", "deep/inner")).isDirectory()).toBe(true);
  expect([places.has("outer"), places.has("outer/deep"), places.has("own"), places.has("own/inner")]).toEqual([true, false, true, false]);
  places.prepare(
    [
      ["two", "/memory"],
      ["one", "/memory/inner"],
    ],
    "runsc",
  );
  expect(readdirSync(places.volumes.get("two") ?? "")).toEqual([]);
});

test("a link in a volume is refused, and not followed", () => {
  using places = new Places();
  const volume = places.volumes.get("one") ?? "";
  symlinkSync("/elsewhere", join(volume, "inner"));
  symlinkSync(".", join(volume, "self"));
  mkdirSync(join(volume, "elsewhere"));
  const second = { field: "spec.containers[0].volumeMounts[1].mountPath", rule: "leads through a symbolic link of the volume at /outer" };
  expect(places.fault(["one", "/outer"], ["two", "/outer/inner"])).toMatchObject(second);
  expect(places.fault(["one", "/outer"], ["two", "/outer/self/x"])).toMatchObject(second);
  expect(lstatSync(join(volume, "inner")).isSymbolicLink()).toBe(true);
});

test("mounts that links bring to one place, or into each other, are refused", () => {
  using places = new Places();
  places.link("/real", "link");
  mkdirSync(join(places.rootfs, "real/deep"), { recursive: true });
  const rule = (path: string) => ({ rule: expect.stringContaining(`in the way of the mount at ${path}`) as string });
  expect(places.fault(["one", "/link"], ["two", "/real"])).toMatchObject(rule("/link"));
  expect(places.fault(["one", "/real"], ["two", "/link/deep"])).toMatchObject(rule("/real"));
  places.link("/real/deep", "deep");
  expect(places.fault(["one", "/real"], ["two", "/deep"])).toMatchObject(rule("/real"));
  expect(places.fault(["one", "/deep"], ["two", "/real"])).toMatchObject(rule("/deep"));
});

test("a mount below a place that a link leads to is one in that volume", () => {
  using places = new Places();
  places.link("/real", "link");
  mkdirSync(join(places.rootfs, "real"));
  places.prepare([
    ["two", "/real/inner"],
    ["one", "/link"],
  ]);
  expect([readdirSync(places.volumes.get("one") ?? ""), readdirSync(join(places.rootfs, "real"))]).toEqual([["inner"], []]);
});

test("/etc/hosts is made for aliases only; one that is there stays, also behind a link of the image", () => {
  using places = new Places();
  places.prepare([]);
  expect(places.has("etc")).toBe(false);
  places.prepare([], "runc", ALIASES);
  expect(readFileSync(join(places.rootfs, "etc/hosts"), "utf8")).toBe("");
  writeFileSync(join(places.rootfs, "etc/hosts"), "image");
  places.prepare([], "runc", ALIASES);
  expect(readFileSync(join(places.rootfs, "etc/hosts"), "utf8")).toBe("image");

  using linked = new Places();
  mkdirSync(join(linked.rootfs, "usr/etc"), { recursive: true });
  linked.link("/usr/etc", "etc");
  linked.prepare([], "runc", ALIASES);
  expect(linked.has("usr/etc/hosts")).toBe(true);
});

test("/etc/hosts lies in the volume that is mounted at /etc", () => {
  using places = new Places();
  places.prepare([["one", "/etc"]], "runc", ALIASES);
  expect(readdirSync(join(places.rootfs, "etc"))).toEqual([]);
  expect(statSync(join(places.volumes.get("one") ?? "", "hosts")).isFile()).toBe(true);
});

test.each<readonly [string, (places: Places) => void, Mounts, RegExp]>([
  ["a folder", ({ rootfs }) => mkdirSync(join(rootfs, "etc/hosts"), { recursive: true }), [], /is not a regular file/],
  ["a link to nowhere", (places) => places.link("/nowhere", "etc"), [], /leads nowhere/],
  ["a link to /proc", (places) => places.link("/proc", "etc"), [], /which lies in \/proc/],
  ["a link into a mount", (places) => places.link("/data", "etc"), [["one", "/data"]], /in the way of the mount at \/data/],
])("aliases are refused by name where /etc/hosts cannot be a file of its own: %s", (_what, make, mounts, rule) => {
  using places = new Places();
  mkdirSync(join(places.rootfs, "proc"));
  make(places);
  const [violation] = refusal(() => places.prepare(mounts, "runc", ALIASES)).detail.violations ?? [];
  expect(violation).toMatchObject({ field: "spec.hostAliases", value: '"/etc/hosts"', rule: expect.stringMatching(rule) as string });
});

test("aliases are refused where /etc is a folder of the node: no file is made there", () => {
  using places = new Places();
  const node = places.volumes.get("one") ?? "";
  const volumes = [{ name: "node", hostPath: { path: node } }];
  const { spec } = requestOf([{ volumeMounts: [{ name: "node", mountPath: "/etc" }] }], { volumes, hostAliases: ALIASES });
  const rootfs = new Map([["c0", places.rootfs]]);
  const prepare = () => prepareMountPoints({ spec, adapter: "runc", rootfs, volumes: new Map([["node", node]]) });
  expect(refusal(prepare).detail.violations).toMatchObject([{ field: "spec.hostAliases" }]);
  expect(readdirSync(node)).toEqual([]);
});
