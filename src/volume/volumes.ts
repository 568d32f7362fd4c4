/** Volumes of sandboxes on the node: folders that are kept until the sandbox is gone, and mounts in the host's mount namespace, which outlive berthd. */
import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ensureDir } from "../host/files.ts";
import { listMounts, mountOverlay, mountTmpfs, unmount } from "../host/mounts.ts";
import type { NodePaths } from "../paths.ts";

/** Whoever runs in a container may write. */
const MODE = 0o777;

/** Every step can be run again and minds nothing that is there, or not there, already. Errors: SystemError, or Node's. */
export class SandboxVolumes {
  readonly #paths: NodePaths;

  constructor(paths: NodePaths) {
    this.#paths = paths;
  }

  /** Makes a folder on the node's disk. What is in it stays. */
  makeFolder(sandboxId: string, volume: string): void {
    ensureDir(this.#paths.volumes(sandboxId));
    ensureDir(join(this.#paths.volumes(sandboxId), volume), MODE);
  }

  /** Mounts a tmpfs that containers share. */
  mountMemory(sandboxId: string, volume: string, options: readonly string[]): void {
    this.#mount(sandboxId, volume, (target) => mountTmpfs(target, options));
  }

  /** Mounts layers, lowest first and at least one, so that nobody can write to them. */
  mountImage(sandboxId: string, volume: string, layerDirs: readonly string[]): void {
    // With no folder to write to an overlay has two layers at least: the empty mount point is one.
    this.#mount(sandboxId, volume, (target) => mountOverlay({ lowerDirs: [...layerDirs.toReversed(), target], target }));
  }

  #mount(sandboxId: string, volume: string, mount: (target: string) => void): void {
    const dir = this.#paths.volumeMounts(sandboxId);
    const target = join(dir, volume);
    // Before the folder is made: what is mounted on it has a mode of its own.
    if (listMounts(target).length > 0) return;
    ensureDir(dir);
    ensureDir(target);
    mount(target);
  }

  /** Unmounts all, and removes the mount points. Folders stay. */
  unmount(sandboxId: string): void {
    const dir = this.#paths.volumeMounts(sandboxId);
    for (const mount of listMounts(dir)) unmount(mount);
    if (!existsSync(dir)) return;
    // Never what is in them: were something of the node still mounted there, it would be lost.
    for (const name of readdirSync(dir)) rmdirSync(join(dir, name));
    rmdirSync(dir);
  }

  /** Removes the folders with what is in them. */
  remove(sandboxId: string): void {
    for (const mount of listMounts(this.#paths.volumes(sandboxId))) unmount(mount);
    rmSync(this.#paths.volumes(sandboxId), { recursive: true, force: true });
  }
}
