/** /etc/passwd and /etc/group of an image, from a root filesystem or straight from its layers. */
import { isUtf8 } from "node:buffer";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BerthError } from "../errors.ts";
import { FileInRootError, readFileInRoot } from "../host/files.ts";
import { extractLayer } from "./extract.ts";
import type { PinnedImage, UserDatabase } from "./image.ts";
import { LayerFault, readEntryName } from "./whiteouts.ts";

const MAX_BYTES = 10 * 1024 * 1024;
const FILES = { passwd: "etc/passwd", group: "etc/group" } as const;
// The folder etc itself, and what at the root of a layer can hide that of those below. Names are as tar writers write them.
const MEMBERS = ["etc", ".wh.etc", ".wh..wh..opq"].flatMap((name) => [name, `./${name}`, `/${name}`]);

/**
 * Reads the user database of a root filesystem; symlinks cannot lead out of it.
 * Errors: BerthError ImageInvalid for what is there and is no regular file of at most 10 MiB.
 */
export function readUserDatabase(root: string): UserDatabase {
  const passwd = readText(root, FILES.passwd);
  const group = readText(root, FILES.group);
  return { ...(passwd === undefined ? {} : { passwd }), ...(group === undefined ? {} : { group }) };
}

/**
 * Reads the same from the blobs of an image, needing neither a store nor root. Only etc/ is extracted.
 * Errors: BerthError ImageInvalid as readUserDatabase's and extractLayer's, and when a symlink leads to what was not extracted.
 */
export async function readUserDatabaseOfLayout(image: PinnedImage): Promise<UserDatabase> {
  const scratch = mkdtempSync(join(tmpdir(), "berth-users-"));
  try {
    const merged = join(scratch, "merged");
    mkdirSync(merged);
    for (const [index, layer] of image.layers.entries()) {
      // Each layer in a fresh folder: tar is safe against the links of one archive, not against those an earlier one left.
      const fresh = join(scratch, String(index));
      mkdirSync(fresh);
      await extractLayer(layer, fresh, MEMBERS);
      mergeLayer(fresh, merged, layer.path);
    }
    refuseLinksToElsewhere(image, merged);
    return readUserDatabase(merged);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function readText(root: string, file: string): string | undefined {
  try {
    return readFileInRoot(root, file, { maxBytes: MAX_BYTES })?.toString("utf8");
  } catch (error) {
    if (error instanceof FileInRootError) throw new BerthError("ImageInvalid", `the image's ${error.message}`);
    throw error;
  }
}

function mergeLayer(layer: string, onto: string, blob: string): void {
  try {
    mergeFolder(layer, onto);
  } catch (error) {
    if (error instanceof LayerFault) throw new BerthError("ImageInvalid", `${blob}: ${error.message}`);
    throw error;
  }
}

/** Lays a folder of a layer over the one of those below: first what it hides, then what it has. Never follows a link. */
function mergeFolder(from: string, onto: string): void {
  const entries = readNames(from).map((name) => ({ name, meaning: readEntryName(Buffer.from(name)) }));
  for (const { meaning } of entries) {
    if (meaning.kind === "opaque") readdirSync(onto).forEach((name) => remove(join(onto, name)));
    if (meaning.kind === "hides") remove(join(onto, meaning.name.toString()));
  }
  for (const { name, meaning } of entries) {
    if (meaning.kind !== "plain") continue;
    const source = join(from, name);
    const target = join(onto, name);
    if (isFolder(source) && isFolder(target)) {
      mergeFolder(source, target);
    } else {
      remove(target);
      renameSync(source, target);
      if (isFolder(target)) dropWhiteouts(target);
    }
  }
}

/** In a folder that hides nothing, whiteouts mean nothing. */
function dropWhiteouts(dir: string): void {
  for (const name of readNames(dir)) {
    const path = join(dir, name);
    if (readEntryName(Buffer.from(name)).kind !== "plain") remove(path);
    else if (isFolder(path)) dropWhiteouts(path);
  }
}

/** A file that is a link to outside etc/ would look as if the image had none, and its users would be refused or taken for others. */
function refuseLinksToElsewhere(image: PinnedImage, root: string): void {
  for (const path of ["etc", ...Object.values(FILES)]) {
    const isLink = lstatSync(join(root, path), { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
    if (isLink && (path === "etc" || readText(root, path) === undefined)) {
      throw new BerthError(
        "ImageInvalid",
        `image ${image.reference}: /${path} is a symbolic link to outside /etc, which can only be followed once the image is unpacked`,
      );
    }
  }
}

/** Names that are not UTF-8 are left out: no user database has such a name. */
function readNames(dir: string): string[] {
  const names = readdirSync(dir, { encoding: "buffer" });
  return names.filter((name) => isUtf8(name)).map((name) => name.toString());
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function remove(path: string): void {
  rmSync(path, { recursive: true, force: true });
}
