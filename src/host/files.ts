/** Files: written so that a reader sees the old or the new text, and read so that a rootfs cannot lead out of itself. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, relative } from "node:path";
import { SystemError, openat2 } from "./libc.ts";

/**
 * Writes beside the path and renames. Survives a crash of berthd; not fsynced, so not for what must survive a loss of power.
 * Errors: Node's; nothing is left beside then.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o600): void {
  const beside = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    writeFileSync(beside, content, { mode, flag: "wx" });
    chmodSync(beside, mode); // whatever the umask
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
}

/** Makes a folder and those above it; sets the mode of the last one whether it was there or not. Errors: Node's. */
export function ensureDir(path: string, mode = 0o700): void {
  mkdirSync(path, { recursive: true, mode });
  chmodSync(path, mode);
}

/** A file in a root that is there but must not or cannot be read. */
export class FileInRootError extends Error {
  override readonly name = "FileInRootError";
}

/**
 * Reads a regular file of at most maxBytes below `root`, where symlinks resolve as if `root` were `/`.
 * Answers undefined when there is no such file. Errors: FileInRootError for a fifo, device, folder, symlink loop or one that
 * is too big; SystemError else.
 */
export function readFileInRoot(root: string, path: string, options: { maxBytes: number }): Buffer | undefined {
  const found = openPathInRoot(root, path);
  if (found === undefined) return undefined;
  try {
    const stat = fstatSync(found);
    if (!stat.isFile()) throw new FileInRootError(`${path} is not a regular file`);
    if (stat.size > options.maxBytes) throw new FileInRootError(`${path} has ${stat.size} bytes, more than ${options.maxBytes}`);
    return readFileSync(`/proc/self/fd/${found}`);
  } finally {
    closeSync(found);
  }
}

/**
 * Makes a folder below `root` where there is none, with those above it; symlinks resolve as if `root` were `/`. Sets its mode, where
 * one is given, whether it was there or not. Answers where it really is, as an absolute path in the root. Errors: FileInRootError for what is there and is no folder, and
 * for symlinks that lead nowhere; SystemError or Node's else.
 */
export function ensureDirInRoot(root: string, path: string, mode?: number): string {
  const found = openPathInRoot(root, path) ?? makeInRoot(root, path, (name) => mkdirSync(name, { mode: 0o755 }));
  try {
    if (!fstatSync(found).isDirectory()) throw new FileInRootError(`${path} is not a folder`);
    if (mode !== undefined) chmodSync(`/proc/self/fd/${found}`, mode);
    return realPathInRoot(root, found);
  } finally {
    closeSync(found);
  }
}

/** The same for a file, which is empty when it is made. Errors: FileInRootError for what is there and is no regular file as well. */
export function ensureFileInRoot(root: string, path: string): string {
  const found = openPathInRoot(root, path) ?? makeInRoot(root, path, (name) => writeFileSync(name, "", { mode: 0o644, flag: "wx" }));
  try {
    if (!fstatSync(found).isFile()) throw new FileInRootError(`${path} is not a regular file`);
    return realPathInRoot(root, found);
  } finally {
    closeSync(found);
  }
}

function realPathInRoot(root: string, descriptor: number): string {
  return `/${relative(realpathSync(root), readlinkSync(`/proc/self/fd/${descriptor}`))}`;
}

/** Answers a descriptor of what it made. */
function makeInRoot(root: string, path: string, make: (name: string) => void): number {
  // The root folder is there, so this ends.
  const above = ensureDirInRoot(root, dirname(path));
  const folder = openPathInRoot(root, above);
  if (folder === undefined) throw new FileInRootError(`${above} went away`);
  try {
    make(`/proc/self/fd/${folder}/${basename(path)}`);
  } catch (error) {
    // A symlink that leads nowhere is a name that is taken.
    const taken = error instanceof Error && "code" in error && error.code === "EEXIST";
    throw taken ? new FileInRootError(`${path} is a symbolic link that leads nowhere`) : error;
  } finally {
    closeSync(folder);
  }
  const made = openPathInRoot(root, path);
  if (made === undefined) throw new FileInRootError(`${path} went away`);
  return made;
}

/** Opens with O_PATH, which names a file without opening it: a fifo cannot hang us and a device is not touched. */
function openPathInRoot(root: string, path: string): number | undefined {
  const O_PATH = 0x200000;
  const O_CLOEXEC = 0o2000000;
  const RESOLVE_NO_MAGICLINKS = 0x02;
  const RESOLVE_IN_ROOT = 0x10;
  const rootFd = openSync(root, O_PATH | constants.O_DIRECTORY);
  try {
    return retryAgain(() => openat2(rootFd, path, O_PATH | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    if (error.code === "ELOOP") throw new FileInRootError(`${path} is a loop of symbolic links`);
    throw error;
  } finally {
    closeSync(rootFd);
  }
}

/** openat2 answers EAGAIN when anything on the machine was renamed or mounted while it walked a `..`. */
function retryAgain<T>(act: () => T): T {
  for (let left = 100; ; left--) {
    try {
      return act();
    } catch (error) {
      if (left === 0 || !(error instanceof SystemError && error.code === "EAGAIN")) throw error;
    }
  }
}
