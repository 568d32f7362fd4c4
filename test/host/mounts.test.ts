import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { SystemError } from "../../src/host/libc.ts";
import { bindMount, listMounts, mountOverlay, unescapeMountPath, unmount } from "../../src/host/mounts.ts";
import { makeScratch } from "../support/scratch.ts";

function makeDirs(root: string, ...names: string[]): string[] {
  return names.map((name) => {
    mkdirSync(join(root, name), { recursive: true });
    return join(root, name);
  });
}

test("an overlay of 128 lower layers with long names is mounted, and the top layer wins", () => {
  using scratch = makeScratch();
  const names = Array.from({ length: 128 }, (_, index) => `${"long-name-".repeat(10)}${index}/fs`);
  const lowerDirs = makeDirs(scratch.path, ...names);
  lowerDirs.forEach((dir, index) => {
    writeFileSync(join(dir, "same"), `layer ${index}`);
    writeFileSync(join(dir, `only-${index}`), "");
  });
  const [upperDir = "", workDir = "", target = ""] = makeDirs(scratch.path, "upper", "work", "rootfs");
  mountOverlay({ lowerDirs, writable: { upperDir, workDir }, target });
  expect(readFileSync(join(target, "same"), "utf8")).toBe("layer 0");
  expect(existsSync(join(target, "only-127"))).toBe(true);
  writeFileSync(join(target, "new"), "x");
  expect(existsSync(join(upperDir, "new"))).toBe(true);
});

test("an overlay takes folders with colons, commas, backslashes, quotes and blanks in their names", () => {
  using scratch = makeScratch();
  const [low = "", upperDir = "", workDir = "", target = ""] = makeDirs(
    scratch.path,
    'l:o,w\\ "1"',
    "u:p,p\\er ä",
    "w:o,rk",
    "r:o,ot fs\\",
  );
  writeFileSync(join(low, "file"), "low");
  mountOverlay({ lowerDirs: [low], writable: { upperDir, workDir }, target });
  expect(readFileSync(join(target, "file"), "utf8")).toBe("low");
  expect(listMounts(scratch.path)).toEqual([target]);
});

test("a read-only overlay refuses writes", () => {
  using scratch = makeScratch();
  const [low = "", upperDir = "", workDir = "", target = ""] = makeDirs(scratch.path, "l", "u", "w", "t");
  mountOverlay({ lowerDirs: [low], writable: { upperDir, workDir }, target, readOnly: true });
  expect(() => writeFileSync(join(target, "x"), "")).toThrow(/EROFS/);
});

test("mounting leaks no descriptor, also when it fails", () => {
  using scratch = makeScratch();
  const [low = "", upperDir = "", workDir = "", target = ""] = makeDirs(scratch.path, "l", "u", "w", "t");
  const open = (): number => readdirSync("/proc/self/fd").length;
  const before = open();
  for (let round = 0; round < 20; round++) {
    mountOverlay({ lowerDirs: [low], writable: { upperDir, workDir }, target });
    unmount(target);
    expect(() => mountOverlay({ lowerDirs: [low, join(scratch.path, "missing")], writable: { upperDir, workDir }, target })).toThrow(
      /ENOENT/,
    );
  }
  expect(open()).toBeLessThanOrEqual(before + 2);
});

test("a missing layer is an error that names it, and nothing is mounted", () => {
  using scratch = makeScratch();
  const [upperDir = "", workDir = "", target = ""] = makeDirs(scratch.path, "u", "w", "t");
  const missing = join(scratch.path, "missing");
  expect(() => mountOverlay({ lowerDirs: [missing], writable: { upperDir, workDir }, target })).toThrow(missing);
  expect(listMounts(scratch.path)).toEqual([]);
});

test("unmounting takes away all stacked mounts, and is fine with nothing mounted or nothing there", () => {
  using scratch = makeScratch();
  const [one = "", two = "", target = ""] = makeDirs(scratch.path, "one", "two", "target");
  bindMount(one, target);
  bindMount(two, target);
  expect(listMounts(scratch.path)).toEqual([target]);
  unmount(target);
  expect(listMounts(scratch.path)).toEqual([]);
  unmount(target);
  unmount(join(scratch.path, "missing"));
});

test("unmounting never follows a symlink to somebody else's mount", () => {
  using scratch = makeScratch();
  const [one = "", target = ""] = makeDirs(scratch.path, "one", "target");
  bindMount(one, target);
  symlinkSync(target, join(scratch.path, "link"));
  unmount(join(scratch.path, "link"));
  expect(listMounts(scratch.path)).toEqual([target]);
});

test("mounts are listed deepest first, and only those under the folder", () => {
  using scratch = makeScratch();
  const [one = ""] = makeDirs(scratch.path, "one/a/b");
  const [top = "", sibling = ""] = makeDirs(scratch.path, "top", "top-2");
  bindMount(join(scratch.path, "one"), top);
  bindMount(one, join(top, "a/b"));
  bindMount(one, sibling);
  expect(listMounts(top)).toEqual([join(top, "a/b"), top]);
});

test("octal escapes of mountinfo are read back", () => {
  expect(unescapeMountPath("/a\\040b\\011c\\012d\\134e")).toBe("/a b\tc\nd\\e");
});

test("a failed mount says the call, the errno and the path", () => {
  using scratch = makeScratch();
  const missing = join(scratch.path, "missing");
  chmodSync(scratch.path, 0o700);
  const attempt = (): void => bindMount(scratch.path, missing);
  expect(attempt).toThrow(SystemError);
  expect(attempt).toThrow(`mount ${missing}: ENOENT`);
});

test("a path with a NUL byte is refused rather than cut", () => {
  expect(() => unmount("/tmp\0/x")).toThrow(/NUL/);
});
