/** What images were when sandboxes were created from them: DIR/pinned/<digest>.json. A start goes by it, whatever the layout holds by then. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ensureDir, writeFileAtomic } from "../host/files.ts";
import type { PinnedImage } from "./image.ts";

export class PinnedImages {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = join(dir, "pinned");
    ensureDir(this.#dir);
  }

  /** Keeps an image by its digest; one that is kept already is the same. Errors: Node's. */
  keep(image: PinnedImage): void {
    const file = this.#file(image.digest);
    if (!existsSync(file)) writeFileAtomic(file, JSON.stringify(image));
  }

  /** Undefined when it was never kept. */
  find(digest: string): PinnedImage | undefined {
    const file = this.#file(digest);
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as PinnedImage) : undefined;
  }

  #file(digest: string): string {
    return join(this.#dir, `${digest.slice("sha256:".length)}.json`);
  }
}
