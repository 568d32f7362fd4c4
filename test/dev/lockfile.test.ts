import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { expect, test } from "vitest";

interface Entry {
  readonly version?: string;
  readonly resolved?: string;
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8")) as { packages: Record<string, Entry> };

/** Whether the package at `path` finds another one, in its own node_modules or in those above. */
function isLocked(path: string, name: string): boolean {
  const place = path === "" ? `node_modules/${name}` : `${path}/node_modules/${name}`;
  return packages[place]?.version !== undefined || (path !== "" && isLocked(upTo(path), name));
}

function upTo(path: string): string {
  const parent = path.slice(0, path.lastIndexOf("node_modules/"));
  return parent === "" ? "" : dirname(`${parent}x`);
}

// npm leaves builds for other systems out when the registry it was run with does not have them, and npm ci then refuses
// the lock file everywhere: quickstart would end before it starts.
test("the lock file names every build for every system, so that npm ci takes it", () => {
  const missing = Object.entries(packages).flatMap(([path, entry]) =>
    Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }).filter((name) => !isLocked(path, name)),
  );
  expect(missing).toEqual([]);
});

test("the lock file names no registry", () => {
  expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([]);
});

test("the lock file has no package inside one that is gone", () => {
  const nested = Object.keys(packages).filter((path) => path.lastIndexOf("/node_modules/") > 0);
  expect(nested.filter((path) => !(path.slice(0, path.lastIndexOf("/node_modules/")) in packages))).toEqual([]);
});
