/**
 * The C library calls that the other files of host/ use. Each call is checked: what answers -1 throws a SystemError.
 * All are synchronous and run on the calling thread, which unshare and setns need.
 */
import { constants } from "node:fs";
import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import koffi from "koffi";

/** A system call that failed. `code` is the errno's name, as in Node's own errors. */
export class SystemError extends Error {
  readonly syscall: string;
  readonly code: string;
  readonly path: string | undefined;

  constructor(syscall: string, errno: number, path?: string) {
    const code = getSystemErrorName(-errno);
    super(`${syscall}${path === undefined ? "" : ` ${path}`}: ${code}, ${getSystemErrorMessage(-errno)}`);
    this.name = "SystemError";
    this.syscall = syscall;
    this.code = code;
    this.path = path;
  }
}

/** Names in a layer need not be UTF-8, so a path may be given as bytes. */
export type Path = string | Buffer;

export const MS_BIND = 0x1000;
export const MS_RDONLY = 0x1;

/** mount(2). Errors: SystemError with the target as its path. */
export function mount(source: string, target: string, type: string | null, flags: number, data: string | null): void {
  const options = data === null ? null : cString(data);
  check("mount", target, calls.mount(cString(source), cString(target), type === null ? null : cString(type), flags, options));
}

/** umount2(2). Errors: SystemError, EINVAL when nothing is mounted there. */
export function umount2(target: string, flags: number): void {
  check("umount2", target, calls.umount2(cString(target), flags));
}

/** unshare(2) for the calling thread. */
export function unshare(flags: number): void {
  check("unshare", undefined, calls.unshare(flags));
}

/** setns(2) for the calling thread; type is the CLONE_NEW* flag that the descriptor must be of. */
export function setns(fd: number, type: number): void {
  check("setns", undefined, calls.setns(fd, type));
}

/** Makes the character device 0:0, which overlayfs reads as "deleted". */
export function makeWhiteout(path: Path): void {
  const S_IFCHR = 0o020000;
  check("mknod", path, calls.mknod(cString(path), S_IFCHR, 0));
}

/** lsetxattr(2) with a text as value; creates or replaces. */
export function setAttribute(path: Path, name: string, value: string): void {
  const bytes = Buffer.from(value);
  check("lsetxattr", path, calls.lsetxattr(cString(path), cString(name), bytes, bytes.length, 0));
}

/** socket(2). Answers a descriptor, which the caller closes. */
export function socket(family: number, type: number): number {
  return check("socket", undefined, calls.socket(family, type, 0));
}

/** pipe2(2), both ends close-on-exec: [read, write], which the caller closes. Errors: SystemError (EMFILE). */
export function pipe(): [number, number] {
  const ends = Buffer.alloc(8);
  check("pipe2", undefined, calls.pipe2(ends, O_CLOEXEC));
  return [ends.readInt32LE(0), ends.readInt32LE(4)];
}

/** ioctl(2) on a buffer that the kernel may change. */
export function ioctl(fd: number, request: number, buffer: Buffer): void {
  check("ioctl", undefined, calls.ioctl(fd, request, buffer));
}

/** openat2(2) with no mode. Answers a descriptor, which the caller closes. */
export function openat2(dirFd: number, path: string, flags: number, resolve: number): number {
  const how = new BigUint64Array([BigInt(flags), 0n, BigInt(resolve)]);
  const bytes = Buffer.from(how.buffer);
  return check("openat2", path, calls.openat2(SYS_OPENAT2, dirFd, cString(path), bytes, bytes.length));
}

/** pidfd_open(2). Answers a descriptor (close-on-exec), which the caller closes. Errors: SystemError, ESRCH when there is no such process. */
export function pidfdOpen(pid: number): number {
  return check("pidfd_open", undefined, calls.pidfdOpen(SYS_PIDFD_OPEN, pid, 0));
}

/** pidfd_send_signal(2). Errors: SystemError, ESRCH when the process has ended and was reaped. */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  check("pidfd_send_signal", undefined, calls.pidfdSendSignal(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, null, 0));
}

/** Three descriptors as stdin, stdout and stderr; or the path of a terminal that is all three, and the session's own. */
export type Stdio = readonly [number, number, number] | string;

/**
 * posix_spawnp(3) with three descriptors and no others, in a session of its own, with every signal at its default. Answers the pid,
 * which the caller waits for. Errors: SystemError naming the program.
 */
export function posixSpawn(argv: readonly string[], env: readonly string[], stdio: Stdio): number {
  const program = argv[0] ?? "";
  for (const text of [...argv, ...env]) cString(text);
  const [actions, attributes] = [Buffer.alloc(SPAWN_STRUCT_BYTES), Buffer.alloc(SPAWN_STRUCT_BYTES)];
  calls.spawnActionsInit(actions);
  calls.spawnAttributesInit(attributes);
  calls.spawnSetSignals(attributes, Buffer.alloc(SIGSET_BYTES, 0xff));
  calls.spawnSetMask(attributes, Buffer.alloc(SIGSET_BYTES));
  calls.spawnSetFlags(attributes, SPAWN_FLAGS);
  if (typeof stdio === "string") {
    // Who leads a session and has no terminal yet makes the one that it opens its own.
    calls.spawnOpen(actions, 0, stdio, constants.O_RDWR, 0);
    for (const target of [1, 2]) calls.spawnDuplicate(actions, 0, target);
  } else {
    for (const [target, descriptor] of stdio.entries()) calls.spawnDuplicate(actions, descriptor, target);
  }
  calls.spawnCloseFrom(actions, 3);
  const pid = Buffer.alloc(4);
  const error = calls.spawn(pid, program, actions, attributes, [...argv, null], [...env, null]);
  calls.spawnActionsDestroy(actions);
  if (error !== 0) throw new SystemError("posix_spawn", error, program);
  return pid.readInt32LE();
}

/** waitpid(2) without waiting. Answers the status word of a child that has ended, else undefined. Errors: SystemError (ECHILD). */
export function waitpidNow(pid: number): number | undefined {
  const WNOHANG = 1;
  const status = Buffer.alloc(4);
  return check("waitpid", undefined, calls.waitpid(pid, status, WNOHANG)) === pid ? status.readInt32LE() : undefined;
}

/** More than posix_spawn_file_actions_t (80) and posix_spawnattr_t (336) have on any 64-bit glibc. */
const SPAWN_STRUCT_BYTES = 512;
const SIGSET_BYTES = 128;
/** POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID */
const SPAWN_FLAGS = 0x04 | 0x08 | 0x80;

// Since number 424 the numbers are the same on every architecture; glibc wraps these calls only since 2.36, or not yet.
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;
const SYS_OPENAT2 = 437;

const O_CLOEXEC = 0o2000000;

type Bytes = Buffer | null;

const libc = koffi.load("libc.so.6");
const calls = {
  mount: libc.func("mount", "int", ["void *", "void *", "void *", "ulong", "void *"]) as (
    source: Bytes,
    target: Bytes,
    type: Bytes,
    flags: number,
    data: Bytes,
  ) => number,
  umount2: libc.func("umount2", "int", ["void *", "int"]) as (target: Bytes, flags: number) => number,
  unshare: libc.func("unshare", "int", ["int"]) as (flags: number) => number,
  setns: libc.func("setns", "int", ["int", "int"]) as (fd: number, type: number) => number,
  mknod: libc.func("mknod", "int", ["void *", "uint", "ulong"]) as (path: Bytes, mode: number, device: number) => number,
  lsetxattr: libc.func("lsetxattr", "int", ["void *", "void *", "void *", "size_t", "int"]) as (
    path: Bytes,
    name: Bytes,
    value: Bytes,
    size: number,
    flags: number,
  ) => number,
  socket: libc.func("socket", "int", ["int", "int", "int"]) as (family: number, type: number, protocol: number) => number,
  pipe2: libc.func("pipe2", "int", ["void *", "int"]) as (ends: Bytes, flags: number) => number,
  ioctl: libc.func("ioctl", "int", ["int", "ulong", "void *"]) as (fd: number, request: number, buffer: Bytes) => number,
  openat2: libc.func("syscall", "long", ["long", "int", "void *", "void *", "size_t"]) as (
    number: number,
    dirFd: number,
    path: Bytes,
    how: Bytes,
    size: number,
  ) => number,
  pidfdOpen: libc.func("syscall", "long", ["long", "int", "uint"]) as (number: number, pid: number, flags: number) => number,
  pidfdSendSignal: libc.func("syscall", "long", ["long", "int", "int", "void *", "uint"]) as (
    number: number,
    pidfd: number,
    signal: number,
    info: Bytes,
    flags: number,
  ) => number,
  spawn: libc.func("posix_spawnp", "int", ["void *", "const char *", "void *", "void *", "const char **", "const char **"]) as (
    pid: Bytes,
    file: string,
    actions: Bytes,
    attributes: Bytes,
    argv: readonly (string | null)[],
    env: readonly (string | null)[],
  ) => number,
  spawnActionsInit: libc.func("posix_spawn_file_actions_init", "int", ["void *"]) as (actions: Bytes) => number,
  spawnActionsDestroy: libc.func("posix_spawn_file_actions_destroy", "int", ["void *"]) as (actions: Bytes) => number,
  spawnOpen: libc.func("posix_spawn_file_actions_addopen", "int", ["void *", "int", "const char *", "int", "uint"]) as (
    actions: Bytes,
    target: number,
    path: string,
    flags: number,
    mode: number,
  ) => number,
  spawnDuplicate: libc.func("posix_spawn_file_actions_adddup2", "int", ["void *", "int", "int"]) as (
    actions: Bytes,
    from: number,
    to: number,
  ) => number,
  spawnCloseFrom: libc.func("posix_spawn_file_actions_addclosefrom_np", "int", ["void *", "int"]) as (
    actions: Bytes,
    from: number,
  ) => number,
  spawnAttributesInit: libc.func("posix_spawnattr_init", "int", ["void *"]) as (attributes: Bytes) => number,
  spawnSetFlags: libc.func("posix_spawnattr_setflags", "int", ["void *", "short"]) as (attributes: Bytes, flags: number) => number,
  spawnSetSignals: libc.func("posix_spawnattr_setsigdefault", "int", ["void *", "void *"]) as (attributes: Bytes, signals: Bytes) => number,
  spawnSetMask: libc.func("posix_spawnattr_setsigmask", "int", ["void *", "void *"]) as (attributes: Bytes, signals: Bytes) => number,
  waitpid: libc.func("waitpid", "int", ["int", "void *", "int"]) as (pid: number, status: Bytes, options: number) => number,
};

/** Passes a call's answer on, or throws what errno says. */
function check(syscall: string, path: Path | undefined, answer: number): number {
  if (answer === -1) throw new SystemError(syscall, koffi.errno(), path?.toString());
  return answer;
}

/** A NUL-terminated copy. A NUL inside would cut the text in silence and name another file, so it is refused. */
function cString(text: Path): Buffer {
  const bytes = Buffer.isBuffer(text) ? text : Buffer.from(text);
  if (bytes.includes(0)) throw new TypeError(`a NUL byte in ${JSON.stringify(text.toString())}`);
  return Buffer.concat([bytes, Buffer.of(0)]);
}
