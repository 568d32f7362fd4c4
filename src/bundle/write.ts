import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../host/files.ts";
import type { RenderedBundle } from "./render.ts";

/** Writes DIR/CONTAINER/config.json, 0600 in a folder of 0700, beside and renamed. No fsync: a bundle can be rendered again from the journal. */
export function writeBundle(dir: string, bundle: RenderedBundle): void {
  const folder = join(dir, bundle.container);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileAtomic(join(folder, "config.json"), bundle.configJson, 0o600);
}
