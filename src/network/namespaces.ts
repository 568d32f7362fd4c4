/** The net, ipc and uts namespaces of sandboxes, pinned at RUN/ns/<sandbox id>/{net,ipc,uts} before pause starts. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ensureDir } from "../host/files.ts";
import { pinNamespaces, unpinNamespaces } from "../host/namespaces.ts";
import type { NamespaceFiles, Setting } from "../host/namespaces.ts";

export class SandboxNamespaces {
  readonly #dir: string;

  constructor(runDir: string) {
    this.#dir = join(runDir, "ns");
  }

  /**
   * Makes new namespaces with `lo` up and these settings; those that were there are let go first, so nothing may run in them.
   * Errors: SystemError, SysctlError; nothing stays then.
   */
  create(sandboxId: string, sysctls: readonly Setting[] = []): NamespaceFiles {
    this.remove(sandboxId);
    const files = this.paths(sandboxId);
    ensureDir(join(this.#dir, sandboxId));
    try {
      pinNamespaces(files, sysctls);
    } catch (error) {
      this.remove(sandboxId);
      throw error;
    }
    return files;
  }

  /** Where they are, or would be. */
  paths(sandboxId: string): NamespaceFiles {
    const at = (kind: string): string => join(this.#dir, sandboxId, kind);
    return { net: at("net"), ipc: at("ipc"), uts: at("uts") };
  }

  /** Lets them go. Not there is fine. Errors: SystemError. */
  remove(sandboxId: string): void {
    unpinNamespaces(this.paths(sandboxId));
    rmSync(join(this.#dir, sandboxId), { recursive: true, force: true });
  }

  /** Sandboxes that have a folder of namespaces, sorted. */
  list(): string[] {
    return existsSync(this.#dir) ? readdirSync(this.#dir).sort() : [];
  }
}
