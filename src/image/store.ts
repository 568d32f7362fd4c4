/** Unpacked layers, shared by all containers: DIR/layers/<chain id>/fs. */
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { BerthError } from "../errors.ts";
import { ensureDir } from "../host/files.ts";
import { extractLayer } from "./extract.ts";
import type { ImageLayer, PinnedImage } from "./image.ts";
import { LayerFault, applyWhiteouts } from "./whiteouts.ts";

const TEMPORARY = ".tmp-";

/** One berthd uses a folder at a time. A layer is there whole or not at all: it is unpacked beside and renamed. */
export class LayerStore {
  readonly #layers: string;
  /** Layers that are being unpacked, by chain id: who asks meanwhile waits for the same. */
  readonly #running = new Map<string, Promise<string>>();

  /** Makes the folder and sweeps what a crash has left half unpacked. */
  constructor(dir: string) {
    this.#layers = join(dir, "layers");
    ensureDir(this.#layers);
    for (const name of readdirSync(this.#layers)) {
      if (name.startsWith(TEMPORARY)) rmSync(join(this.#layers, name), { recursive: true, force: true });
    }
  }

  /**
   * The folders of an image's layers, lowest first; unpacks those that are not there. Needs root.
   * Errors: BerthError ImageInvalid naming the blob and what is wrong; nothing stays of a layer that failed.
   */
  async unpack(image: PinnedImage): Promise<string[]> {
    const dirs: string[] = [];
    for (const layer of image.layers) dirs.push(await this.#once(layer, dirs.at(-1)));
    return dirs;
  }

  #once(layer: ImageLayer, below: string | undefined): Promise<string> {
    const running = this.#running.get(layer.chainId);
    if (running !== undefined) return running;
    const started = this.#unpackLayer(layer, below).finally(() => this.#running.delete(layer.chainId));
    this.#running.set(layer.chainId, started);
    return started;
  }

  async #unpackLayer(layer: ImageLayer, below: string | undefined): Promise<string> {
    const hex = layer.chainId.slice("sha256:".length);
    const home = join(this.#layers, hex);
    if (existsSync(home)) return join(home, "fs");
    const temporary = await mkdtemp(join(this.#layers, `${TEMPORARY}${hex}-`));
    try {
      const content = join(temporary, "fs");
      makeLayerRoot(content, below);
      await extractLayer(layer, content);
      await applyWhiteouts(content);
      renameSync(temporary, home);
      return join(home, "fs");
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      if (error instanceof LayerFault) throw new BerthError("ImageInvalid", `${layer.path}: ${error.message}`);
      throw error;
    }
  }
}

/** The owner and mode of `/` are those of the top layer's root, so a layer that says nothing of its root takes over those below. */
function makeLayerRoot(dir: string, below: string | undefined): void {
  mkdirSync(dir);
  const like = below === undefined ? undefined : statSync(below);
  chownSync(dir, like?.uid ?? 0, like?.gid ?? 0);
  chmodSync(dir, like === undefined ? 0o755 : like.mode & 0o7777);
}
