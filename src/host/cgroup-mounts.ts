/** Which cgroup hierarchies a node has, read from its mounts. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { unescapeMountPath } from "./mounts.ts";

export interface Hierarchy {
  readonly mountPoint: string;
  /** Such as memory, cpu or name=systemd. */
  readonly controllers: readonly string[];
  readonly version: 1 | 2;
}

/** The hierarchies in a text of the form of /proc/self/mountinfo, each once, in its order. */
export function readHierarchies(mountinfo: string): Hierarchy[] {
  const seen = new Set<string>();
  return mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [, , device = "", , mountPoint = ""] = before.split(" ");
    const [type, , options = ""] = after.split(" ");
    // A hierarchy that is mounted twice is one: what is made in one place is seen in the other.
    if ((type !== "cgroup" && type !== "cgroup2") || seen.has(device)) return [];
    seen.add(device);
    return [type === "cgroup" ? v1(unescapeMountPath(mountPoint), options) : v2(unescapeMountPath(mountPoint))];
  });
}

function v1(mountPoint: string, options: string): Hierarchy {
  const others = /^(rw|ro|none|clone_children|cpuset_v2_mode|noprefix|xattr|favordynmods|release_agent=.*)$/;
  return { mountPoint, version: 1, controllers: options.split(",").filter((option) => !others.test(option)) };
}

function v2(mountPoint: string): Hierarchy {
  const file = join(mountPoint, "cgroup.controllers");
  const text = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
  return { mountPoint, version: 2, controllers: text === "" ? [] : text.split(" ") };
}
