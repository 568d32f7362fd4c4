import { existsSync, mkdirSync, readdirSync, readFileSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bindMount, listMounts, unmount } from "../../src/host/mounts.ts";
import { NodePaths } from "../../src/paths.ts";
import { SandboxVolumes } from "../../src/volume/volumes.ts";
import { makeScratch } from "../support/scratch.ts";

const ID = "0123456789abcdef0123456789abcdef";

function setUp(scratch: string) {
  const paths = new NodePaths(join(scratch, "state"), join(scratch, "run"));
  return { paths, volumes: new SandboxVolumes(paths) };
}

test("a folder is for everybody, whatever the umask, in one for nobody; what is in it stays until it is removed", () => {
  using scratch = makeScratch();
  const { paths, volumes } = setUp(scratch.path);
  const umask = process.umask(0o077);
  try {
    volumes.makeFolder(ID, "data");
  } finally {
    process.umask(umask);
  }
  const folder = join(paths.volumes(ID), "data");
  expect([statSync(folder).mode & 0o777, statSync(paths.volumes(ID)).mode & 0o777]).toEqual([0o777, 0o700]);
  writeFileSync(join(folder, "file"), "kept");
  volumes.makeFolder(ID, "data");
  volumes.unmount(ID);
  expect(readFileSync(join(folder, "file"), "utf8")).toBe("kept");
  volumes.remove(ID);
  volumes.remove(ID);
  expect(existsSync(paths.volumes(ID))).toBe(false);
});

test("memory is a tmpfs of its size, mounted once, and goes with its mount point", () => {
  using scratch = makeScratch();
  const { paths, volumes } = setUp(scratch.path);
  const target = join(paths.volumeMounts(ID), "memory");
  volumes.mountMemory(ID, "memory", ["mode=0777", "size=1048576"]);
  writeFileSync(join(target, "file"), "x");
  volumes.mountMemory(ID, "memory", ["mode=0777", "size=1048576"]);
  expect([listMounts(target).length, readdirSync(target), statSync(target).mode & 0o777]).toEqual([1, ["file"], 0o777]);
  const { blocks, bsize } = statfsSync(target);
  expect(blocks * bsize).toBe(1_048_576);
  volumes.unmount(ID);
  volumes.unmount(ID);
  expect([listMounts(paths.volumeMounts(ID)), existsSync(paths.volumeMounts(ID))]).toEqual([[], false]);
});

test("what lies in a mount point is never removed", () => {
  using scratch = makeScratch();
  const { paths, volumes } = setUp(scratch.path);
  const inside = join(paths.volumeMounts(ID), "host", "precious");
  mkdirSync(inside, { recursive: true });
  expect(() => volumes.unmount(ID)).toThrow("ENOTEMPTY");
  expect(existsSync(inside)).toBe(true);
});

test("a mount in a folder, such as one that a container left, is taken away before the folder is removed", () => {
  using scratch = makeScratch();
  const { paths, volumes } = setUp(scratch.path);
  const precious = join(scratch.path, "precious");
  mkdirSync(join(precious, "file"), { recursive: true });
  volumes.makeFolder(ID, "data");
  const inside = join(paths.volumes(ID), "data", "mounted");
  mkdirSync(inside);
  bindMount(precious, inside);
  try {
    volumes.remove(ID);
    expect([existsSync(paths.volumes(ID)), readdirSync(precious)]).toEqual([false, ["file"]]);
  } finally {
    unmount(inside);
  }
});
