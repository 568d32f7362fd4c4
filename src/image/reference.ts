/** Image references: `oci:PATH[:TAG]`. */
import { normalize } from "node:path";

export interface ImageReference {
  /** Folder of an OCI image layout, absolute. */
  readonly path: string;
  readonly tag?: string;
}

const TAG = /^[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,254}$/;

/** Parses a reference, or says in a sentence what is wrong with it. Touches no file. */
export function parseReference(reference: string): ImageReference | string {
  if (!reference.startsWith("oci:")) return "must be oci:PATH or oci:PATH:TAG, where PATH is the absolute path of an OCI image layout";
  const rest = reference.slice("oci:".length);
  const colon = rest.indexOf(":");
  const path = colon === -1 ? rest : rest.slice(0, colon);
  if (!path.startsWith("/")) return "the path of the image layout must be absolute";
  if (/\p{Cc}/u.test(path)) return "the path of the image layout must not hold control characters";
  if (normalize(path) !== path) return `the path of the image layout must be plain: ${normalize(path)}`;
  if (colon === -1) return { path };
  const tag = rest.slice(colon + 1);
  if (!TAG.test(tag)) return "the tag must be 1 to 255 letters, digits and . _ : @ + / - and start with a letter or a digit";
  return { path, tag };
}
