import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mount } from "../../src/host/libc.ts";
import { bindMount, unmount } from "../../src/host/mounts.ts";
import { readHostPaths, requireUnmoved, withRealPaths } from "../../src/sandbox/host-paths.ts";
import { refusal, requestOf } from "../bundle/rendering.ts";
import { makeScratch } from "../support/scratch.ts";

const MS_PRIVATE = 0x40000;
const MS_SHARED = 0x100000;
const PLAIN = { hideUnifiedCgroup: false };
const specOf = (...paths: readonly (readonly [path: string, type?: string])[]) =>
  requestOf([{}], { volumes: paths.map(([path, type = ""], index) => ({ name: `v${index}`, hostPath: { path, type } })) }).spec;

test("a host path is where its links lead, and that is what policy sees; nothing is made", () => {
  using scratch = makeScratch();
  const [folder, link] = [join(scratch.path, "folder"), join(scratch.path, "link")];
  mkdirSync(folder);
  symlinkSync(folder, link);
  const spec = specOf([link, "Directory"], [folder]);
  const paths = readHostPaths(spec, PLAIN);
  expect(paths).toEqual({ v0: folder, v1: folder });
  expect(withRealPaths(spec, paths).volumes[0]).toEqual({ name: "v0", hostPath: { path: folder, type: "Directory" } });
  expect(readdirSync(folder)).toEqual([]);
});

test("what is missing, of another type, or leads to a folder of the kernel is refused by field", () => {
  using scratch = makeScratch();
  const at = (name: string): string => join(scratch.path, name);
  writeFileSync(at("file"), "");
  execFileSync("mkfifo", [at("fifo")]);
  symlinkSync("/proc/sys", at("proc"));
  symlinkSync("/", at("root"));
  symlinkSync(at("nowhere"), at("dangling"));
  const good = [[at("file"), "File"], [at("fifo")], ["/dev/null", "CharDevice"]] as const;
  expect(Object.keys(readHostPaths(specOf(...good), PLAIN))).toHaveLength(3);
  const bad = [
    [at("missing")],
    [at("dangling")],
    [at("proc")],
    [at("root")],
    [at("file"), "Directory"],
    [scratch.path, "File"],
    [at("file"), "Socket"],
    [at("fifo"), "File"],
    ["/dev/null", "BlockDevice"],
  ] as const;
  const error = refusal(() => readHostPaths(specOf(...good, ...bad), PLAIN));
  expect(error.reason).toBe("NotEnforceable");
  expect(error.detail.violations?.map(({ field, rule }) => `${field} ${rule.replaceAll(scratch.path, "")}`)).toEqual([
    "spec.volumes[3].hostPath.path is not there on the node",
    "spec.volumes[4].hostPath.path is not there on the node",
    "spec.volumes[5].hostPath.path leads to /proc/sys, which lies in /proc, by which the node's kernel is set",
    "spec.volumes[6].hostPath.path leads to /, which is the root folder, which has the kernel's folders in it",
    "spec.volumes[7].hostPath.type is not what stands at /file: a File",
    "spec.volumes[8].hostPath.type is not what stands at : a Directory",
    "spec.volumes[9].hostPath.type is not what stands at /file: a File",
    "spec.volumes[10].hostPath.type is not what stands at /fifo: something else",
    "spec.volumes[11].hostPath.type is not what stands at /dev/null: a CharDevice",
  ]);
});

test("a path in whose place a link was put is refused before a runtime sees it again", () => {
  using scratch = makeScratch();
  const folder = join(scratch.path, "folder");
  mkdirSync(folder);
  const spec = specOf([folder]);
  const paths = readHostPaths(spec, PLAIN);
  requireUnmoved(spec, paths);
  renameSync(folder, `${folder}.old`);
  symlinkSync("/etc", folder);
  expect(refusal(() => requireUnmoved(spec, paths)).detail.violations).toMatchObject([{ field: "spec.volumes[0].hostPath.path" }]);
});

test("propagation needs a mount that has it, and for both ways a runtime that runs among the node's mounts", () => {
  using scratch = makeScratch();
  const at = (mountPropagation: string) =>
    requestOf([{ volumeMounts: [{ name: "host", mountPath: "/host", mountPropagation }] }], {
      volumes: [{ name: "host", hostPath: { path: scratch.path } }],
    }).spec;
  const rules = (mountPropagation: string, traits = PLAIN) => {
    try {
      readHostPaths(at(mountPropagation), traits);
      return "fine";
    } catch {
      return (
        refusal(() => readHostPaths(at(mountPropagation), traits))
          .detail.violations?.map(({ field }) => field)
          .join() ?? ""
      );
    }
  };
  const all = (traits = PLAIN) => ["None", "HostToContainer", "Bidirectional"].map((value) => rules(value, traits));
  const field = "spec.containers[0].volumeMounts[0].mountPropagation";
  bindMount(scratch.path, scratch.path);
  try {
    mount("none", scratch.path, null, MS_PRIVATE, null);
    expect(all()).toEqual(["fine", field, field]);
    mount("none", scratch.path, null, MS_SHARED, null);
    expect(all()).toEqual(["fine", "fine", "fine"]);
    expect(all({ hideUnifiedCgroup: true })).toEqual(["fine", "fine", field]);
  } finally {
    unmount(scratch.path);
  }
});
