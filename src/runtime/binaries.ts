/** Runtime binaries in use, kept by digest: a live sandbox cannot go on with another version of its runtime. */

import { createHash } from "node:crypto";
import {
  accessSync,
  constants,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from "node:fs";
import { copyFile, cp } from "node:fs/promises";
import { basename, delimiter, dirname, join } from "node:path";
import { BerthError } from "../errors.ts";

/** Folder that releases of runsc after October 2026 want beside the binary. */
const SIDECAR = "gvisor-bin";

export interface KeptBinary {
  /** sha256:HEX */
  readonly digest: string;
  /** Path of the copy. */
  readonly path: string;
}

export class RuntimeBinaries {
  readonly #dir: string;
  /** Digests by what stat says of the file, so that an unchanged binary is not read again. */
  readonly #digests = new Map<string, string>();
  /** What each path was when it was last asked for. */
  readonly #latest = new Map<string, string>();
  readonly #copying = new Map<string, Promise<string>>();

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(dir)) if (name.startsWith("tmp-")) rmSync(join(dir, name), { recursive: true });
  }

  /** Keeps the binary that is there now. A copy and no link: one would change with a file that is written in place. */
  async keep(path: string): Promise<KeptBinary> {
    const digest = await this.#digest(path, statSync(path));
    this.#latest.set(path, digest);
    const copying = this.#copying.get(digest) ?? this.#copy(path, join(this.#dir, digest.slice("sha256:".length)));
    this.#copying.set(digest, copying);
    try {
      return { digest, path: await copying };
    } finally {
      this.#copying.delete(digest);
    }
  }

  async #copy(path: string, folder: string): Promise<string> {
    const there = existsSync(folder) ? readdirSync(folder).find((name) => name !== SIDECAR) : undefined;
    if (there !== undefined) return join(folder, there);
    const temporary = mkdtempSync(join(this.#dir, "tmp-"));
    await copyFile(path, join(temporary, basename(path)), constants.COPYFILE_FICLONE);
    const sidecar = join(dirname(realpathSync(path)), SIDECAR);
    if (existsSync(sidecar)) await cp(sidecar, join(temporary, SIDECAR), { recursive: true });
    renameSync(temporary, folder);
    return join(folder, basename(path));
  }

  /** Removes every copy but those of these digests and those that were asked for last. */
  retain(digests: readonly string[]): void {
    const kept = new Set([...digests, ...this.#latest.values()]);
    for (const name of readdirSync(this.#dir)) {
      if (!name.startsWith("tmp-") && !kept.has(`sha256:${name}`)) rmSync(join(this.#dir, name), { recursive: true, force: true });
    }
  }

  async #digest(path: string, stat: Stats): Promise<string> {
    const key = [path, stat.dev, stat.ino, stat.size, stat.mtimeMs, stat.ctimeMs].join(" ");
    const known = this.#digests.get(key);
    if (known !== undefined) return known;
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer);
    const digest = `sha256:${hash.digest("hex")}`;
    this.#digests.set(key, digest);
    return digest;
  }
}

/** The absolute path of a program, looked up in PATH when it is only a name. Throws RuntimeUnusable when it is not there. */
export function findBinary(name: string, path = process.env["PATH"] ?? ""): string {
  const folders = name.includes("/")
    ? [""]
    : [...path.split(delimiter), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
  const found = folders.map((folder) => (folder === "" ? name : join(folder, name))).find(isExecutable);
  if (found !== undefined) return found;
  throw new BerthError(
    "RuntimeUnusable",
    `there is no runtime binary ${name}${name.includes("/") ? "" : " in PATH"}: install it, or name another with runtimeClasses[].binary in berth.yaml`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
