/** Builds OCI image layouts for tests and trials: from described files, by GNU tar, without a network. Needs root for owners and devices. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  lchownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";

/** One entry of a layer; a plain text stands for a file with that content. */
export interface FileEntry {
  readonly content?: string | Uint8Array;
  /** Permissions; 0644 for files, 0755 for folders when absent. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly directory?: true;
  /** Target of a symbolic link, as it is written. */
  readonly symlink?: string;
  /** Another entry of the same layer, given before. */
  readonly hardlink?: string;
  readonly fifo?: true;
  /** Character device of this major and minor number. */
  readonly device?: readonly [number, number];
  /** Extended attributes, as text. */
  readonly xattrs?: Readonly<Record<string, string>>;
}

/** Entries by path, such as "etc/passwd"; "." is the layer's root. Folders above are made. Or a tar made elsewhere. */
export type LayerSource = { readonly files: Readonly<Record<string, string | FileEntry>> } | { readonly tar: Uint8Array };

/** The part of an image config that runtimes read, with its names. */
export interface ImageSettings {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly StopSignal?: string;
}

export interface LayoutSource {
  /** Lowest first. */
  readonly layers: readonly LayerSource[];
  readonly config?: ImageSettings;
  readonly tag?: string;
  /** gzip when absent. */
  readonly compression?: "none" | "gzip" | "zstd";
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

/** Writes an image into the layout `dir`, which is made if need be, and answers its reference. A layout can hold several, by tags. */
export function makeLayout(dir: string, source: LayoutSource): string {
  const compression = source.compression ?? "gzip";
  const tars = source.layers.map((layer) => ("tar" in layer ? layer.tar : makeTar(layer.files)));
  const suffix = compression === "none" ? "" : `+${compression}`;
  const layers = tars.map((tar) => writeBlob(dir, `application/vnd.oci.image.layer.v1.tar${suffix}`, compress(tar, compression)));
  const config = writeJsonBlob(dir, "application/vnd.oci.image.config.v1+json", {
    architecture: ARCHITECTURE,
    os: "linux",
    config: source.config ?? {},
    rootfs: { type: "layers", diff_ids: tars.map(digestOf) },
  });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = writeJsonBlob(dir, mediaType, { schemaVersion: 2, mediaType, config, layers });
  addToIndex(dir, source.tag === undefined ? manifest : { ...manifest, annotations: { "org.opencontainers.image.ref.name": source.tag } });
  return source.tag === undefined ? `oci:${dir}` : `oci:${dir}:${source.tag}`;
}

/**
 * An image of one layer with busybox (Debian's busybox-static) at /bin/busybox, a link in /bin for each applet, /etc/passwd and
 * group with root, app (1000:1000) and nobody (65534), and /tmp. Answers `oci:DIR:latest`.
 */
export function busyboxImage(
  dir: string,
  more: { config?: ImageSettings; extraFiles?: Readonly<Record<string, string | FileEntry>> } = {},
): string {
  const applets = execFileSync("/bin/busybox", ["--list"], { encoding: "utf8" })
    .trim()
    .split("\n")
    .filter((name) => name !== "busybox");
  const files: Record<string, string | FileEntry> = {
    "bin/busybox": { content: readFileSync("/bin/busybox"), mode: 0o755 },
    ...Object.fromEntries(applets.map((name) => [`bin/${name}`, { symlink: "/bin/busybox" }])),
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\napp:x:1000:\nnogroup:x:65534:\n",
    root: { directory: true, mode: 0o700 },
    "home/app": { directory: true, uid: 1000, gid: 1000 },
    tmp: { directory: true, mode: 0o1777 },
    ...more.extraFiles,
  };
  return makeLayout(dir, { layers: [{ files }], tag: "latest", config: more.config ?? { Cmd: ["/bin/sh"] } });
}

/** Writes a blob and answers its descriptor. */
export function writeBlob(dir: string, mediaType: string, bytes: Uint8Array): Descriptor {
  const digest = digestOf(bytes);
  const blobs = join(dir, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  writeFileSync(join(blobs, digest.slice("sha256:".length)), bytes);
  return { mediaType, digest, size: bytes.length };
}

export function writeJsonBlob(dir: string, mediaType: string, value: unknown): Descriptor {
  return writeBlob(dir, mediaType, Buffer.from(JSON.stringify(value)));
}

/** Adds a manifest or index to index.json; one of the same tag is replaced. */
export function addToIndex(dir: string, entry: object & { readonly annotations?: Readonly<Record<string, string>> }): void {
  const file = join(dir, "index.json");
  const tag = entry.annotations?.["org.opencontainers.image.ref.name"];
  const old = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { manifests: Descriptor[] }).manifests : [];
  const kept = old.filter(({ annotations }) => tag === undefined || annotations?.["org.opencontainers.image.ref.name"] !== tag);
  writeFileSync(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(file, JSON.stringify({ schemaVersion: 2, manifests: [...kept, entry] }));
}

/** Makes a tar of described files. The same files make the same bytes. */
export function makeTar(files: Readonly<Record<string, string | FileEntry>>): Buffer {
  const tree = mkdtempSync(join(tmpdir(), "berth-layer-"));
  try {
    chmodSync(tree, 0o755);
    for (const [path, entry] of Object.entries(files)) makeEntry(tree, path, typeof entry === "string" ? { content: entry } : entry);
    const names = files["."] === undefined ? readdirSync(tree).sort() : ["."];
    const list = Buffer.from(names.map((name) => `${name}\0`).join(""));
    const options = [
      "--sort=name",
      "--mtime=@0",
      "--numeric-owner",
      "--format=pax",
      "--pax-option=delete=atime,delete=ctime",
      "--xattrs",
      "--xattrs-include=*",
    ];
    return execFileSync("tar", ["-c", ...options, "--null", "--no-recursion", "-C", tree, "--recursion", "-T", "-"], {
      input: list,
      maxBuffer: 2 ** 31 - 1,
    });
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

function makeEntry(tree: string, path: string, entry: FileEntry): void {
  const target = join(tree, path);
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  if (entry.symlink !== undefined) symlinkSync(entry.symlink, target);
  else if (entry.hardlink !== undefined) linkSync(join(tree, entry.hardlink), target);
  else if (entry.fifo) execFileSync("mkfifo", [target]);
  else if (entry.device) execFileSync("mknod", [target, "c", ...entry.device.map(String)]);
  else if (entry.directory || path === ".") mkdirSync(target, { recursive: true });
  else writeFileSync(target, entry.content ?? "");
  if (entry.hardlink !== undefined) return; // it is the other entry's file
  if (entry.uid !== undefined || entry.gid !== undefined) lchownSync(target, entry.uid ?? 0, entry.gid ?? 0);
  if (entry.symlink === undefined) chmodSync(target, entry.mode ?? (entry.directory || path === "." ? 0o755 : 0o644));
  for (const [name, value] of Object.entries(entry.xattrs ?? {}))
    execFileSync("python3", ["-c", "import os,sys; os.setxattr(sys.argv[1], sys.argv[2], sys.argv[3].encode())", target, name, value]);
}

function compress(tar: Uint8Array, compression: "none" | "gzip" | "zstd"): Uint8Array {
  return compression === "none" ? tar : compression === "gzip" ? gzipSync(tar) : zstdCompressSync(tar);
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
