/** The part of an OCI image config that berth honours. */
export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** NAME=VALUE. */
  readonly env: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly stopSignal: string;
}

/** An image that a reference was resolved to: everything is pinned by digest. */
export interface PinnedImage {
  readonly reference: string;
  /** Digest of the manifest, sha256:HEX. */
  readonly digest: string;
  readonly config: ImageConfig;
  /** Lowest layer first. */
  readonly layers: readonly ImageLayer[];
}

export interface ImageLayer {
  /** File of the blob. */
  readonly path: string;
  readonly mediaType: string;
  readonly size: number;
  /** Digest of the blob. */
  readonly digest: string;
  /** Digest of the uncompressed tar. */
  readonly diffId: string;
  /** Digest of this layer on top of those below (OCI image spec, "Layer ChainID"). */
  readonly chainId: string;
}

/** /etc/passwd and /etc/group of an image; absent when the image has no such file. */
export interface UserDatabase {
  readonly passwd?: string;
  readonly group?: string;
}
