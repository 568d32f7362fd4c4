/** JSON pointers (RFC 6901) into a config.json. Pure. */

/** ~ and / inside a name are escaped. */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((name) => `/${String(name).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}
