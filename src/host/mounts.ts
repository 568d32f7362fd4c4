/** Mounts, by mount(2) directly: 0.2 ms, where a mount(8) by exec takes 9. */
import { closeSync, constants, openSync, readFileSync, realpathSync } from "node:fs";
import { MS_BIND, MS_RDONLY, SystemError, mount, umount2 } from "./libc.ts";

const O_PATH = 0x200000;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

export interface OverlayMount {
  /** Top layer first; at least one, 128 are fine. */
  readonly lowerDirs: readonly string[];
  /** Of one file system; both exist. Absent: nobody can write, and there are two lower ones at least. */
  readonly writable?: { readonly upperDir: string; readonly workDir: string };
  readonly target: string;
  readonly readOnly?: boolean;
}

/**
 * Mounts an overlay. Errors: SystemError of mount, or Node's error (code ENOENT, ENOTDIR) for a folder that is not there.
 *
 * The folders go in as /proc/self/fd/N: mount(2) takes one page of options, which 128 real paths overflow, and names of this
 * form need no escaping of `:` `,` and `\`. fsconfig's lowerdir+ is as fast and shows real paths in mountinfo, but Linux 6.1,
 * which Debian 12 runs, has it not; this way works on all.
 */
export function mountOverlay(overlay: OverlayMount): void {
  const opened: number[] = [];
  const name = (path: string): string => {
    const fd = openSync(path, O_PATH | constants.O_DIRECTORY);
    opened.push(fd);
    return `/proc/self/fd/${fd}`;
  };
  try {
    const lower = overlay.lowerDirs.map(name).join(":");
    const { writable } = overlay;
    const upper = writable ? `,upperdir=${name(writable.upperDir)},workdir=${name(writable.workDir)}` : "";
    const options = `lowerdir=${lower}${upper}`;
    mount("overlay", overlay.target, "overlay", overlay.readOnly ? MS_RDONLY : 0, options);
  } finally {
    opened.forEach(closeSync);
  }
}

/** Mounts a tmpfs with these options of its own. Errors: SystemError. */
export function mountTmpfs(target: string, options: readonly string[]): void {
  mount("tmpfs", target, "tmpfs", 0, options.join(","));
}

/** Shows `source` (a file or folder) at `target` (one of the same kind), without mounts below it. Errors: SystemError. */
export function bindMount(source: string, target: string): void {
  mount(source, target, null, MS_BIND, null);
}

/** Takes away all that is mounted at `target`, at once for new users, later for those who are inside. Nothing mounted there is fine. Errors: SystemError. */
export function unmount(target: string): void {
  try {
    for (;;) umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
  } catch (error) {
    const notMounted = error instanceof SystemError && (error.code === "EINVAL" || error.code === "ENOENT");
    if (!notMounted) throw error;
  }
}

/** Mount points at and under a folder, each once, deepest first. Symlinks in `under` are followed, as in what the kernel tells. */
export function listMounts(under: string): string[] {
  const root = resolved(under);
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => unescapeMountPath(line.split(" ")[4] ?? ""))
    .filter((point) => point === root || point.startsWith(root === "/" ? "/" : `${root}/`));
  return [...new Set(points)].sort((a, b) => depth(b) - depth(a));
}

/** What becomes of mounts that are made later beside `path`, which is real: of the mount that it lies in. */
export function propagationAt(path: string): { readonly isShared: boolean; readonly isSlave: boolean } {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const point = (line: string): string => unescapeMountPath(line.split(" ")[4] ?? "");
  const lies = (at: string): boolean => at === "/" || path === at || path.startsWith(`${at}/`);
  // Of two at one point the later one covers the other.
  const around = lines
    .filter((line) => line !== "" && lies(point(line)))
    .reduce((best, line) => (point(line).length >= point(best).length ? line : best));
  const [, , , , , , ...fields] = around.split(" ");
  const optional = fields.slice(0, fields.indexOf("-"));
  const has = (tag: string): boolean => optional.some((field) => field.startsWith(`${tag}:`));
  return { isShared: has("shared"), isSlave: has("master") };
}

/** Reads \040 and the like, which stand for blanks, tabs, line ends and backslashes in /proc/self/mountinfo. */
export function unescapeMountPath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function depth(path: string): number {
  return path.split("/").length;
}
