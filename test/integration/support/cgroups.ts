/** The node's cgroup hierarchies, looked at from outside berthd. */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Cgroups } from "../../../src/host/cgroups.ts";

export const HIERARCHIES = new Cgroups().hierarchies;

/** Names of the hierarchies as in /proc/PID/cgroup; the one of v2 is "". */
export const HIERARCHY_NAMES = HIERARCHIES.map(({ version, controllers }) => (version === 2 ? "" : controllers.join(",")));

/** Folders in all hierarchies, whose name holds one of the texts. */
export function groupsNaming(...texts: readonly string[]): string[] {
  return HIERARCHIES.flatMap(({ mountPoint }) => foldersBelow(mountPoint)).filter((dir) =>
    texts.some((text) => dir.slice(dir.lastIndexOf("/")).includes(text)),
  );
}

/** Folders of all groups below the group, in all hierarchies. */
export function groupsBelow(group: string): string[] {
  return HIERARCHIES.flatMap(({ mountPoint }) => foldersBelow(join(mountPoint, group)));
}

function foldersBelow(dir: string): string[] {
  // One that goes away meanwhile is not there any more.
  if (!existsSync(dir)) return [];
  const children = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return children.flatMap((entry) => [join(dir, entry.name), ...foldersBelow(join(dir, entry.name))]);
}
