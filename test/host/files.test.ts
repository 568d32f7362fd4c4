import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FileInRootError, ensureDir, readFileInRoot, writeFileAtomic } from "../../src/host/files.ts";
import { makeScratch } from "../support/scratch.ts";

const limit = { maxBytes: 10 * 1024 * 1024 };

test("a file is replaced by rename: who holds the old one keeps the old text", () => {
  using scratch = makeScratch();
  const file = join(scratch.path, "file");
  writeFileAtomic(file, "old");
  linkSync(file, join(scratch.path, "held"));
  writeFileAtomic(file, Buffer.from("new"));
  expect(readFileSync(file, "utf8")).toBe("new");
  expect(readFileSync(join(scratch.path, "held"), "utf8")).toBe("old");
  expect(readdirSync(scratch.path).sort()).toEqual(["file", "held"]);
});

test("a file is for its owner only, unless a mode is given, whatever the umask", () => {
  using scratch = makeScratch();
  const umask = process.umask(0o077);
  try {
    writeFileAtomic(join(scratch.path, "private"), "");
    writeFileAtomic(join(scratch.path, "public"), "", 0o644);
  } finally {
    process.umask(umask);
  }
  expect(statSync(join(scratch.path, "private")).mode & 0o777).toBe(0o600);
  expect(statSync(join(scratch.path, "public")).mode & 0o777).toBe(0o644);
});

test("a write that fails leaves nothing beside", () => {
  using scratch = makeScratch();
  mkdirSync(join(scratch.path, "folder/inside"), { recursive: true });
  expect(() => writeFileAtomic(join(scratch.path, "folder"), "x")).toThrow();
  expect(readdirSync(scratch.path)).toEqual(["folder"]);
});

test("a folder gets its mode also when it was there", () => {
  using scratch = makeScratch();
  const dir = join(scratch.path, "a/b");
  ensureDir(dir, 0o755);
  ensureDir(dir);
  expect(statSync(dir).mode & 0o777).toBe(0o700);
});

test("a symlink to an absolute path, or with many dots, stays in the root", () => {
  using scratch = makeScratch();
  mkdirSync(join(scratch.path, "etc"));
  symlinkSync("/etc/shadow", join(scratch.path, "etc/absolute"));
  symlinkSync("../../../../../../../../etc/shadow", join(scratch.path, "etc/dots"));
  expect(readFileInRoot(scratch.path, "etc/absolute", limit)).toBeUndefined();
  expect(readFileInRoot(scratch.path, "etc/dots", limit)).toBeUndefined();
  writeFileSync(join(scratch.path, "etc/shadow"), "inside");
  expect(readFileInRoot(scratch.path, "etc/absolute", limit)?.toString()).toBe("inside");
  expect(readFileInRoot(scratch.path, "/etc/dots", limit)?.toString()).toBe("inside");
});

test("a magic link of /proc leads nowhere", () => {
  expect(() => readFileInRoot("/proc", "self/exe", limit)).toThrow(FileInRootError);
});

test("a missing file, or a file where a folder should be, is undefined", () => {
  using scratch = makeScratch();
  writeFileSync(join(scratch.path, "file"), "");
  expect(readFileInRoot(scratch.path, "missing", limit)).toBeUndefined();
  expect(readFileInRoot(scratch.path, "file/below", limit)).toBeUndefined();
});

test("a file of more than the limit is an error that says so, one of the limit is read", () => {
  using scratch = makeScratch();
  const file = join(scratch.path, "big");
  writeFileSync(file, "x");
  truncateSync(file, limit.maxBytes);
  expect(readFileInRoot(scratch.path, "big", limit)).toHaveLength(limit.maxBytes);
  truncateSync(file, limit.maxBytes + 1);
  expect(() => readFileInRoot(scratch.path, "big", limit)).toThrow(/10485761 bytes, more than 10485760/);
});

test("a fifo, a device, a folder and a loop of links are errors, at once", () => {
  using scratch = makeScratch();
  execFileSync("mkfifo", [join(scratch.path, "fifo")]);
  execFileSync("mknod", [join(scratch.path, "zero"), "c", "1", "5"]);
  symlinkSync("loop", join(scratch.path, "loop"));
  for (const name of ["fifo", "zero", "."]) expect(() => readFileInRoot(scratch.path, name, limit), name).toThrow(/not a regular file/);
  expect(() => readFileInRoot(scratch.path, "loop", limit)).toThrow(/loop of symbolic links/);
});

test("reading leaks no descriptor", () => {
  using scratch = makeScratch();
  writeFileSync(join(scratch.path, "file"), "x");
  const open = (): number => readdirSync("/proc/self/fd").length;
  const before = open();
  for (let round = 0; round < 50; round++) {
    readFileInRoot(scratch.path, "file", limit);
    readFileInRoot(scratch.path, "missing", limit);
  }
  expect(open()).toBeLessThanOrEqual(before + 2);
});
