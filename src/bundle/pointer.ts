/** JSON pointers (RFC 6901) into a config.json. Pure. */

/** ~ and / inside a name are escaped. */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((name) => `/${String(name).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** Everything in a JSON value that has nothing inside, in order. */
export function leaves(value: unknown, path: readonly string[] = []): { path: readonly string[]; value: unknown }[] {
  const inner = typeof value === "object" && value !== null ? Object.entries(value) : [];
  if (inner.length === 0) return [{ path, value }];
  return inner.flatMap(([key, nested]) => leaves(nested, [...path, key]));
}
