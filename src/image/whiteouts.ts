/** Turns the whiteout entries of an unpacked layer (OCI image spec, "Whiteouts") into what overlayfs reads as such. */
import { lstatSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import type { Dirent } from "node:fs";
import { makeWhiteout, setAttribute } from "../host/libc.ts";

const PREFIX = ".wh.";
const OPAQUE = ".wh..wh..opq";
const SLASH = Buffer.from("/");

/** A fault in a layer, named by its path inside it. */
export class LayerFault extends Error {
  override readonly name = "LayerFault";
}

/** What a name in a layer stands for. `hides` holds the name of what is deleted from the layers below. */
export type EntryKind = { kind: "plain" } | { kind: "opaque" } | { kind: "hides"; name: Buffer };

/** Names are bytes, as tar has them. Errors: LayerFault for a whiteout that names nothing that can be deleted. */
export function readEntryName(name: Buffer): EntryKind {
  const text = name.toString("latin1");
  if (!text.startsWith(PREFIX)) return { kind: "plain" };
  if (text === OPAQUE) return { kind: "opaque" };
  const hidden = text.slice(PREFIX.length);
  if (hidden === "" || hidden === "." || hidden === ".." || hidden.startsWith(PREFIX))
    throw new LayerFault(`${text} is no name of a whiteout`);
  return { kind: "hides", name: name.subarray(PREFIX.length) };
}

/**
 * Walks an unpacked layer, replaces `.wh.NAME` by the character device 0:0 NAME and `.wh..wh..opq` by the attribute that makes
 * its folder opaque. Needs root. Errors: LayerFault for a device node or a bad whiteout; SystemError.
 */
export async function applyWhiteouts(layerDir: string): Promise<void> {
  const root = Buffer.from(layerDir);
  const folders = [root];
  for (let dir = folders.pop(); dir !== undefined; dir = folders.pop()) {
    for (const entry of await readdir(dir, { withFileTypes: true, encoding: "buffer" })) {
      const path = Buffer.concat([dir, SLASH, entry.name]);
      const inLayer = path.subarray(root.length + 1).toString();
      // tar cannot make these, with one exception that the kernel grants to everybody: 0:0, which would delete without a whiteout entry.
      if (entry.isCharacterDevice() || entry.isBlockDevice())
        throw new LayerFault(`${inLayer} is a device node, which berth does not make`);
      const replaced = replaceWhiteout(dir, path, entry, dir === root, inLayer);
      if (!replaced && entry.isDirectory()) folders.push(path);
    }
  }
}

/** Answers whether the entry was a whiteout. */
function replaceWhiteout(dir: Buffer, path: Buffer, entry: Dirent<Buffer>, atRoot: boolean, inLayer: string): boolean {
  const meaning = readEntryName(entry.name);
  if (meaning.kind === "plain") return false;
  if (!entry.isFile()) throw new LayerFault(`${inLayer} is a whiteout and not a regular file`);
  rmSync(path);
  if (meaning.kind === "opaque") {
    // overlayfs does not ask the root of a layer, so what it should hide would stay in sight.
    if (atRoot) throw new LayerFault(`${inLayer}: a layer that hides all below it is not supported`);
    makeOpaque(dir);
  } else {
    const hidden = Buffer.concat([dir, SLASH, meaning.name]);
    const own = lstatSync(hidden, { throwIfNoEntry: false });
    if (own === undefined) makeWhiteout(hidden);
    // A whiteout is about the layers below: what this layer has of the same name stays, and only a folder would be merged.
    else if (own.isDirectory()) makeOpaque(hidden);
  }
  return true;
}

function makeOpaque(dir: Buffer): void {
  setAttribute(dir, "trusted.overlay.opaque", "y");
}
