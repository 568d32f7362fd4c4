/** Root filesystems of containers: an overlay over the shared layers, in the host's mount namespace, so that it outlives berthd. */
import { chownSync, existsSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { ensureDir } from "../host/files.ts";
import { listMounts, mountOverlay, unmount } from "../host/mounts.ts";

/** DIR/<container id>/{upper,work,rootfs}. What a container wrote is in upper and stays until remove(). */
export class RootFilesystems {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * Mounts the root filesystem of a container over its layers, lowest first, and answers its path. Mounted already is fine.
   * Errors: SystemError, or Node's for a layer that is not there.
   */
  mount(id: string, layerDirs: readonly string[]): string {
    const [upperDir, workDir, target, empty] = ["upper", "work", "rootfs", "empty"].map((name) => this.#path(id, name)) as [
      string,
      string,
      string,
      string,
    ];
    if (listMounts(target).length > 0) return target;
    ensureDir(join(this.#dir, id));
    // An overlay has a layer at least, and an image may have none.
    const lowerDirs = layerDirs.length === 0 ? [empty] : layerDirs.toReversed();
    for (const dir of layerDirs.length === 0 ? [workDir, target, empty] : [workDir, target]) ensureDir(dir, 0o755);
    if (!existsSync(upperDir)) makeUpper(upperDir, lowerDirs[0] ?? empty);
    mountOverlay({ lowerDirs, writable: { upperDir, workDir }, target });
    return target;
  }

  /** Where the root filesystem of a container is mounted, or would be. */
  path(id: string): string {
    return this.#path(id, "rootfs");
  }

  /** Unmounts, whatever is mounted inside first. Not mounted is fine. Errors: SystemError. */
  unmount(id: string): void {
    listMounts(this.path(id)).forEach(unmount);
  }

  /** Unmounts and removes all of the container, with what it wrote. Not there is fine. */
  remove(id: string): void {
    this.unmount(id);
    rmSync(join(this.#dir, id), { recursive: true, force: true });
  }

  #path(id: string, name: string): string {
    return join(this.#dir, id, name);
  }
}

/** The owner and mode of an overlay's `/` are those of its upper folder: the image's at first, then what the container makes of them. */
function makeUpper(dir: string, topLayer: string): void {
  const { uid, gid, mode } = statSync(topLayer);
  ensureDir(dir, mode & 0o7777);
  chownSync(dir, uid, gid);
}
