/** From a reference to an image that is pinned by digest: reads and checks an OCI image layout. */
import { createHash } from "node:crypto";
import { lstatSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { BerthError } from "../errors.ts";
import { FileInRootError, readFileInRoot } from "../host/files.ts";
import type { ImageConfig, ImageLayer, PinnedImage } from "./image.ts";
import { layerCompression } from "./layer-stream.ts";
import { parseReference } from "./reference.ts";
import type { ImageReference } from "./reference.ts";

const MAX_JSON_BYTES = 4 * 1024 * 1024;
const MAX_DEPTH = 4;
const REF_NAME = "org.opencontainers.image.ref.name";
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, "must be sha256: and 64 hex digits");
const Descriptor = z.object({
  mediaType: z.string(),
  digest: Digest,
  size: z.int().min(0),
  platform: z.object({ os: z.string(), architecture: z.string() }).nullish(),
  annotations: z.record(z.string(), z.string()).nullish(),
});
type Descriptor = z.infer<typeof Descriptor>;

const LayoutFile = z.object({ imageLayoutVersion: z.literal("1.0.0") });
const Index = z.object({ manifests: z.array(Descriptor) });
const Manifest = z.object({ config: Descriptor, layers: z.array(Descriptor) });
const Strings = z.array(z.string()).nullish();
const Config = z.object({
  os: z.string().nullish(),
  architecture: z.string().nullish(),
  config: z
    .object({
      Entrypoint: Strings,
      Cmd: Strings,
      Env: Strings,
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      StopSignal: z.string().nullish(),
    })
    .nullish(),
  rootfs: z.object({ diff_ids: z.array(Digest) }),
});

const INDEX_TYPES = ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFEST_TYPES = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/**
 * Resolves `oci:PATH[:TAG]` for this machine's architecture. Digests and sizes of indexes, manifest and config are verified;
 * layers are only looked at for presence and size, as they are verified while they are unpacked.
 * Errors: BerthError ImageNotFound (no layout, no such tag, not a reference at all), ImageInvalid (naming the file and what is wrong).
 */
export async function resolveImage(reference: string): Promise<PinnedImage> {
  const parsed = parseReference(reference);
  if (typeof parsed === "string") throw new BerthError("ImageNotFound", `image ${reference}: ${parsed}`);
  const layout = parsed.path;
  parseJson(join(layout, "oci-layout"), readLayoutFile(reference, layout, "oci-layout"), LayoutFile);
  const index = parseJson(join(layout, "index.json"), readLayoutFile(reference, layout, "index.json"), Index);
  const descriptor = findManifest(layout, selectTagged(reference, parsed, index.manifests), MAX_DEPTH);
  const manifest = readBlob(layout, descriptor, Manifest);
  const config = readBlob(layout, manifest.config, Config);
  refuseForeignPlatform(blobPath(layout, manifest.config.digest), config);
  return {
    reference,
    digest: descriptor.digest,
    config: imageConfig(config),
    layers: pinLayers(layout, descriptor, manifest.layers, config.rootfs.diff_ids),
  };
}

/** Reads the text of an OCI image config, as it stands in a blob. Errors: BerthError ImageInvalid naming `file`. */
export function parseImageConfig(text: string, file: string): ImageConfig {
  return imageConfig(parseJson(file, Buffer.from(text), Config.omit({ rootfs: true })));
}

function imageConfig({ config }: Pick<z.infer<typeof Config>, "config">): ImageConfig {
  return {
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
    env: config?.Env ?? [],
    user: config?.User ?? "",
    workingDir: config?.WorkingDir ?? "",
    stopSignal: config?.StopSignal ?? "",
  };
}

/** Which entry of index.json is meant: the one with the tag; without a tag the only one, else the one tagged latest. */
function selectTagged(reference: string, parsed: ImageReference, all: readonly Descriptor[]): readonly Descriptor[] {
  const tagged = (tag: string): Descriptor[] => all.filter((entry) => entry.annotations?.[REF_NAME] === tag);
  const found = parsed.tag === undefined ? (all.length === 1 ? all : tagged("latest")) : tagged(parsed.tag);
  if (found.length > 0) return found;
  const tags = all.map((entry) => entry.annotations?.[REF_NAME]).filter((tag) => tag !== undefined);
  const has =
    all.length === 0
      ? "it holds no image"
      : tags.length === 0
        ? "it holds several images and no tags"
        : `it has the tags ${tags.join(", ")}`;
  throw new BerthError(
    "ImageNotFound",
    `image ${reference}: ${join(parsed.path, "index.json")} has ${parsed.tag === undefined ? "several images and none is tagged latest" : `no tag ${parsed.tag}`}; ${has}`,
  );
}

/** Follows indexes down to the manifest for this machine. */
function findManifest(layout: string, candidates: readonly Descriptor[], depth: number): Descriptor {
  const fitting = candidates.filter(({ platform }) => platform?.os === "linux" && platform.architecture === ARCHITECTURE);
  const unnamed = candidates.filter(({ platform }) => !platform);
  const chosen = fitting[0] ?? (unnamed.length === 1 ? unnamed[0] : undefined);
  if (chosen === undefined) {
    const platforms = candidates.map(({ platform }) => (platform ? `${platform.os}/${platform.architecture}` : "one without a platform"));
    throw invalid(layout, `nothing for linux/${ARCHITECTURE}; the image has ${platforms.join(", ") || "nothing at all"}`);
  }
  if (MANIFEST_TYPES.includes(chosen.mediaType)) return chosen;
  const file = blobPath(layout, chosen.digest);
  if (!INDEX_TYPES.includes(chosen.mediaType))
    throw invalid(file, `media type ${chosen.mediaType} is neither an image manifest nor an index`);
  if (depth === 0) throw invalid(file, `more than ${MAX_DEPTH} indexes inside each other`);
  return findManifest(layout, readBlob(layout, chosen, Index).manifests, depth - 1);
}

/** An image built for another system would only fail later, with an exec format error. */
function refuseForeignPlatform(file: string, config: z.infer<typeof Config>): void {
  const os = config.os ?? "linux";
  const architecture = config.architecture ?? ARCHITECTURE;
  if (os !== "linux" || architecture !== ARCHITECTURE)
    throw invalid(file, `the image is for ${os}/${architecture}, not for linux/${ARCHITECTURE}`);
}

function pinLayers(layout: string, manifest: Descriptor, layers: readonly Descriptor[], diffIds: readonly string[]): ImageLayer[] {
  if (layers.length !== diffIds.length) {
    throw invalid(blobPath(layout, manifest.digest), `the manifest has ${layers.length} layers, the config ${diffIds.length} diff_ids`);
  }
  const chainIds = chainIdsOf(diffIds);
  return layers.map((layer, index) => {
    const path = blobPath(layout, layer.digest);
    if (layerCompression(layer.mediaType) === undefined) throw invalid(path, `layers of media type ${layer.mediaType} are not supported`);
    checkLayerFile(path, layer.size);
    return {
      path,
      mediaType: layer.mediaType,
      size: layer.size,
      digest: layer.digest,
      diffId: diffIds[index] ?? "",
      chainId: chainIds[index] ?? "",
    };
  });
}

/** Chain ids of layers, lowest first: each names a layer together with all that are below it. */
export function chainIdsOf(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : sha256(`${below} ${diffId}`));
  }
  return chain;
}

function checkLayerFile(path: string, size: number): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw invalid(path, "the layer is missing");
  if (!stat.isFile()) throw invalid(path, "the layer is not a regular file");
  if (stat.size !== size) throw invalid(path, `the layer has ${stat.size} bytes, its descriptor says ${size}`);
}

function readBlob<T>(layout: string, descriptor: Descriptor, schema: z.ZodType<T>): T {
  const file = blobPath(layout, descriptor.digest);
  const bytes = readFile(layout, blobName(descriptor.digest));
  if (bytes === undefined) throw invalid(file, "the blob is missing");
  if (bytes.length !== descriptor.size) throw invalid(file, `it has ${bytes.length} bytes, its descriptor says ${descriptor.size}`);
  const digest = sha256(bytes);
  if (digest !== descriptor.digest) throw invalid(file, `its content has the digest ${digest}`);
  return parseJson(file, bytes, schema);
}

function readLayoutFile(reference: string, layout: string, name: string): Buffer {
  const bytes = readFile(layout, name);
  if (bytes === undefined)
    throw new BerthError("ImageNotFound", `image ${reference}: ${join(layout, name)} does not exist; ${layout} is no OCI image layout`);
  return bytes;
}

/** Reads inside the layout only, so that a link in it cannot make berthd read, or hang on, another file. */
function readFile(layout: string, name: string): Buffer | undefined {
  try {
    return readFileInRoot(layout, name, { maxBytes: MAX_JSON_BYTES });
  } catch (error) {
    if (error instanceof FileInRootError) throw invalid(layout, error.message);
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return undefined;
    throw error;
  }
}

function parseJson<T>(file: string, bytes: Buffer, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw invalid(file, error instanceof Error ? error.message : "not JSON");
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.slice(0, 3).map((issue) => `${issue.path.join(".") || "the whole"}: ${issue.message}`);
  throw invalid(file, faults.join("; "));
}

function blobName(digest: string): string {
  return join("blobs", "sha256", digest.slice("sha256:".length));
}

function blobPath(layout: string, digest: string): string {
  return join(layout, blobName(digest));
}

function sha256(data: string | Buffer): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}

function invalid(file: string, fault: string): BerthError {
  return new BerthError("ImageInvalid", `${file}: ${fault}`);
}
