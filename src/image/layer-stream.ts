/** The uncompressed tar of a layer as a stream that fails unless every byte was what the image pinned. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { PassThrough, Transform } from "node:stream";
import type { Duplex, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { BerthError, toBerthError } from "../errors.ts";
import type { ImageLayer } from "./image.ts";

type Compression = "none" | "gzip" | "zstd";

const COMPRESSIONS: Readonly<Record<string, Compression>> = {
  "application/vnd.oci.image.layer.v1.tar": "none",
  "application/vnd.oci.image.layer.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.v1.tar+zstd": "zstd",
  "application/vnd.docker.image.rootfs.diff.tar": "none",
  "application/vnd.docker.image.rootfs.diff.tar.gzip": "gzip",
  "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
};

/** How a layer of this media type is compressed; undefined for a type that is not supported. */
export function layerCompression(mediaType: string): Compression | undefined {
  return Object.hasOwn(COMPRESSIONS, mediaType) ? COMPRESSIONS[mediaType] : undefined;
}

/** For one layer, whatever its size: data that unpacks to more and more must end some time. */
export const LAYER_TIMEOUT_MS = 10 * 60_000;

export interface LayerStream {
  readonly tar: Readable;
  /** Settles when all was read. Errors: BerthError ImageInvalid naming the blob, for a wrong digest or damaged data. */
  readonly verified: Promise<void>;
}

/** Opens a layer. The digests are only known at the end: nothing that was made of the stream counts before `verified`. */
export function openLayer(layer: ImageLayer): LayerStream {
  const tar = new PassThrough();
  return { tar, verified: verify(layer, tar) };
}

async function verify(layer: ImageLayer, tar: PassThrough): Promise<void> {
  const blob = createDigest();
  const content = createDigest();
  try {
    // Non-blocking, so that a fifo in place of the blob cannot park a thread for ever.
    const decompress = decompressor(layer.mediaType);
    const file = await open(layer.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    await pipeline(file.createReadStream({ highWaterMark: 256 * 1024 }), blob.tap, decompress, content.tap, tar, {
      signal: AbortSignal.timeout(LAYER_TIMEOUT_MS),
    });
  } catch (error) {
    tar.destroy();
    throw new BerthError("ImageInvalid", `${layer.path}: ${toBerthError(error).message}`, { cause: error });
  }
  if (blob.digest() !== layer.digest) throw new BerthError("ImageInvalid", `${layer.path}: its content has the digest ${blob.digest()}`);
  if (content.digest() !== layer.diffId) {
    throw new BerthError(
      "ImageInvalid",
      `${layer.path}: the uncompressed layer has the digest ${content.digest()}, the image config says ${layer.diffId}`,
    );
  }
}

/** A stream that passes all on and knows its digest. */
function createDigest(): { tap: Transform; digest: () => string } {
  const hash = createHash("sha256");
  let hex: string | undefined;
  const tap = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  return { tap, digest: () => `sha256:${(hex ??= hash.digest("hex"))}` };
}

function decompressor(mediaType: string): Duplex {
  const compression = layerCompression(mediaType);
  if (compression === undefined) throw new Error(`layers of media type ${mediaType} are not supported`);
  const make = { none: () => new PassThrough(), gzip: createGunzip, zstd: createZstdDecompress };
  return make[compression]();
}
