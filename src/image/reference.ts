/** An image layout on this node. */
export interface ImageReference {
  readonly transport: "oci";
  /** Absolute path of the layout. */
  readonly path: string;
  /** Absent: the layout's only manifest, or the one tagged latest. */
  readonly tag?: string;
}

/** Reads oci:PATH[:TAG]. Pure; a violation is the rule that the text breaks. */
export function parseReference(reference: string): ImageReference | { violation: string } {
  const match = /^oci:(?<path>[^:]*)(:(?<tag>[^:]*))?$/.exec(reference);
  if (!match?.groups) return { violation: reference.startsWith("oci:") ? "has more than one ':' after the path" : "is not an oci: reference; registries are not implemented yet" };
  const { path = "", tag } = match.groups;
  if (!path.startsWith("/")) return { violation: "does not name an absolute path" };
  if (tag !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(tag)) return { violation: "has a tag that is not valid" };
  return { transport: "oci", path, ...(tag === undefined ? {} : { tag }) };
}
