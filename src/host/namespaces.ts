/** Namespaces of a sandbox, kept alive by a bind mount on a file and by no process, so that they outlive berthd. */
import { closeSync, constants, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { ioctl, setns, socket, unshare } from "./libc.ts";
import { bindMount, unmount } from "./mounts.ts";

/** Files on which the namespaces of one sandbox are pinned. */
export interface NamespaceFiles {
  readonly net: string;
  readonly ipc: string;
  readonly uts: string;
}

/** A sysctl by its name with dots, and the text that the kernel is given. */
export interface Setting {
  readonly name: string;
  readonly value: string;
}

/** The kernel does not take a setting. `code` is the errno's name: ENOENT has no such setting, EINVAL no such value. */
export class SysctlError extends Error {
  readonly sysctl: string;
  readonly code: string;

  constructor({ name, value }: Setting, code: string, cause?: unknown) {
    super(`sysctl ${name}=${value}: ${code}`, { cause });
    this.name = "SysctlError";
    this.sysctl = name;
    this.code = code;
  }
}

const KINDS = ["net", "ipc", "uts"] as const;
const CLONE_FLAGS = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 } as const;
const ALL_FLAGS = CLONE_FLAGS.net | CLONE_FLAGS.ipc | CLONE_FLAGS.uts;

/**
 * Makes a net, an ipc and a uts namespace, pins each on its file, raises `lo` and writes the settings. The folder of the files exists.
 * Takes about 1 ms and is one synchronous stretch: nothing else of the process can run while its thread is away, and no
 * thread can be born in there. Errors: SystemError, SysctlError, or Node's such as EEXIST for a file that is there; nothing stays then.
 */
export function pinNamespaces(files: NamespaceFiles, sysctls: readonly Setting[] = []): void {
  const made: string[] = [];
  try {
    for (const kind of KINDS) {
      closeSync(openSync(files[kind], "wx", 0o600)); // one that is there may be a living sandbox's pin
      made.push(files[kind]);
    }
    insideNewNamespaces(() => {
      for (const kind of KINDS) bindMount(`/proc/thread-self/ns/${kind}`, files[kind]);
      raiseLoopback();
      sysctls.forEach(writeSysctl);
    });
  } catch (error) {
    made.forEach(unpin);
    throw error;
  }
}

/** Lets the namespaces go and removes the files. What is not there is fine; processes inside keep theirs until they end. */
export function unpinNamespaces(files: NamespaceFiles): void {
  for (const kind of KINDS) unpin(files[kind]);
}

function unpin(file: string): void {
  unmount(file);
  rmSync(file, { force: true });
}

function insideNewNamespaces(act: () => void): void {
  const home: { kind: (typeof KINDS)[number]; fd: number }[] = [];
  try {
    for (const kind of KINDS) home.push({ kind, fd: openSync(`/proc/thread-self/ns/${kind}`, "r") });
    unshare(ALL_FLAGS);
    try {
      act();
    } finally {
      for (const { kind, fd } of home) returnTo(fd, CLONE_FLAGS[kind]);
    }
  } finally {
    for (const { fd } of home) closeSync(fd);
  }
}

function returnTo(fd: number, flag: number): void {
  try {
    setns(fd, flag);
  } catch (error) {
    // All that berthd did from here on would happen in a sandbox's namespace: its sockets, its mounts, its next children.
    // Ending at once is safe, as a restarted berthd finds the journal as it was.
    writeSync(process.stderr.fd, `berthd cannot return to its own namespaces and ends: ${String(error)}\n`);
    process.abort();
  }
}

/** /proc/sys shows each thread the settings of its own namespaces. */
function writeSysctl(setting: Setting): void {
  const path = `/proc/sys/${setting.name.replaceAll(".", "/")}`;
  const kept = tellingWhich(setting, () => {
    const fd = openSync(path, constants.O_WRONLY);
    try {
      writeSync(fd, setting.value);
    } finally {
      closeSync(fd);
    }
    return readFileSync(path, "utf8");
  });
  // The kernel takes as many numbers as it has room for and drops the rest in silence.
  if (words(setting.value) > words(kept)) throw new SysctlError(setting, "EINVAL");
}

function tellingWhich<T>(setting: Setting, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new SysctlError(setting, (error as NodeJS.ErrnoException).code ?? String(error), error);
  }
}

const words = (text: string): number => text.trim().split(/\s+/).length;

/** Sets the IFF_UP flag of `lo` in the namespace of this thread; the kernel then gives it its addresses. */
function raiseLoopback(): void {
  const AF_INET = 2;
  const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
  const SIOCGIFFLAGS = 0x8913;
  const SIOCSIFFLAGS = 0x8914;
  const IFF_UP = 1;
  const FLAGS_OFFSET = 16;
  const ifreq = Buffer.alloc(40);
  ifreq.write("lo");
  const fd = socket(AF_INET, SOCK_DGRAM_CLOEXEC);
  try {
    ioctl(fd, SIOCGIFFLAGS, ifreq);
    ifreq.writeInt16LE(ifreq.readInt16LE(FLAGS_OFFSET) | IFF_UP, FLAGS_OFFSET);
    ioctl(fd, SIOCSIFFLAGS, ifreq);
  } finally {
    closeSync(fd);
  }
}
