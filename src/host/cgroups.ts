/** Control groups on every layout that nodes have: v1, v2, or v1 with a v2 tree beside it (hybrid). */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readHierarchies } from "./cgroup-mounts.ts";
import type { Hierarchy } from "./cgroup-mounts.ts";
import { Freezer } from "./freezer.ts";
import { killProcess, processIdentity } from "./processes.ts";
import type { ProcessIdentity } from "./processes.ts";

export type { Hierarchy } from "./cgroup-mounts.ts";

const PATIENCE_MS = 2000;
const PAUSE_MS = 10;
const FREEZE_LOOK_MS = 1;

/** Groups are named by one path such as /berth.slice/ID/monitor, which is the same in every hierarchy. */
export class Cgroups {
  readonly layout: "v1" | "v2" | "hybrid";
  readonly hierarchies: readonly Hierarchy[];

  /** Errors: when the node has no cgroup mounted. */
  constructor(mountinfo = readFileSync("/proc/self/mountinfo", "utf8")) {
    this.hierarchies = readHierarchies(mountinfo);
    if (this.hierarchies.length === 0) throw new Error("no cgroup hierarchy is mounted on this node");
    const versions = new Set(this.hierarchies.map((hierarchy) => hierarchy.version));
    this.layout = versions.size === 2 ? "hybrid" : versions.has(2) ? "v2" : "v1";
  }

  /** Makes the group and those above it, in every hierarchy; one that is there is fine. Errors: Node's, such as EACCES. */
  create(path: string): void {
    for (const hierarchy of this.hierarchies) {
      for (const group of withAncestors(path)) {
        const dir = join(hierarchy.mountPoint, group);
        if (hierarchy.version === 2) delegateControllers(dirname(dir));
        mkdirSync(dir, { recursive: true });
        if (hierarchy.version === 1 && hierarchy.controllers.includes("cpuset")) inheritCpuset(dir);
      }
    }
  }

  /** The cgroup.procs files of a group: a pid written to each moves the process into the group. */
  procsFiles(path: string): string[] {
    return this.#dirs(path).map((dir) => join(dir, "cgroup.procs"));
  }

  /** Names of the groups right below, in any hierarchy, sorted. */
  list(path: string): string[] {
    return [...new Set(this.#dirs(path).flatMap(childGroups))].sort();
  }

  /** Freezes every process in the group and below it, and waits until none moves. Frozen already is fine. Errors: when some still move after 2 s. */
  async freeze(path: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    for (const freezer = new Freezer(this.hierarchies, path); !freezer.freeze(); await sleep(FREEZE_LOOK_MS)) {
      if (Date.now() > deadline) throw new Error(`the processes of cgroup ${path} cannot be frozen`);
    }
  }

  /** Lets the processes in the group and in every group below it go on. Not frozen, or not there, is fine. */
  thaw(path: string): void {
    new Freezer(this.hierarchies, path).thaw();
    for (const name of this.list(path)) this.thaw(`${path}/${name}`);
  }

  /** Kills every process in the group and below it, with SIGKILL, and waits until they are out of it. Errors: when some are left after 2 s. */
  async killAll(path: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const left = this.#processes(path);
      if (left.length === 0) return;
      if (Date.now() > deadline) throw new Error(`processes ${left.map(({ pid }) => pid).join(", ")} of cgroup ${path} do not end`);
      this.#killAtOnce(path);
      for (const process of left) killProcess(process, "SIGKILL");
      // In v1 what is frozen dies when it is thawed.
      this.thaw(path);
      await sleep(PAUSE_MS);
    }
  }

  /** Removes the group and all below it from every hierarchy; one that is not there is fine. Errors: when it is still in use after 2 s. */
  async remove(path: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const busy = this.#dirs(path).filter((dir) => !removeTree(dir));
      if (busy.length === 0) return;
      if (Date.now() > deadline) throw new Error(`cgroup ${busy.join(", ")} is still in use`);
      await sleep(PAUSE_MS);
    }
  }

  /** v2 can kill a whole subtree in one act (Linux 5.14), which nothing that forks can outrun. */
  #killAtOnce(path: string): void {
    for (const { version, mountPoint } of this.hierarchies) {
      const file = join(mountPoint, path, "cgroup.kill");
      if (version === 2 && existsSync(file)) writeFileSync(file, "1");
    }
  }

  #dirs(path: string): string[] {
    return this.hierarchies.map((hierarchy) => join(hierarchy.mountPoint, path));
  }

  /** Who is in the subtree. Listed twice around taking the identity, so that a pid that was used again meanwhile is not taken for a member. */
  #processes(path: string): ProcessIdentity[] {
    const dirs = this.#dirs(path);
    const identities = pidsOf(dirs)
      .map(processIdentity)
      .filter((identity) => identity !== undefined);
    const still = new Set(pidsOf(dirs));
    return identities.filter(({ pid }) => still.has(pid));
  }
}

/** /a/b/c → /a, /a/b, /a/b/c */
function withAncestors(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "");
  if (names.length === 0 || names.includes("..")) throw new Error(`not the path of a cgroup: ${path}`);
  return names.map((_, index) => `/${names.slice(0, index + 1).join("/")}`);
}

/** A v1 cpuset is born empty, and nothing can run in an empty one. */
function inheritCpuset(dir: string): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const own = join(dir, file);
    if (readFileSync(own, "utf8").trim() === "") writeFileSync(own, readFileSync(join(dirname(dir), file)));
  }
}

/**
 * Lets the children of a v2 group have its controllers. As far as it goes: a group that holds processes refuses (EBUSY), and
 * some controllers are not for every group (ENOTSUP, EINVAL); what a limit needs and is not there is found when it is written.
 */
function delegateControllers(dir: string): void {
  const enabled = words(join(dir, "cgroup.subtree_control"));
  for (const controller of words(join(dir, "cgroup.controllers"))) {
    if (enabled.includes(controller)) continue;
    try {
      writeFileSync(join(dir, "cgroup.subtree_control"), `+${controller}`);
    } catch {
      continue;
    }
  }
}

function words(file: string): string[] {
  return readFileSync(file, "utf8")
    .split(/\s+/)
    .filter((word) => word !== "");
}

function childGroups(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

/** Removes depth first; false when a group is still in use, such as by a process that was killed but has not ended. */
function removeTree(dir: string): boolean {
  const childrenGone = childGroups(dir)
    .map((name) => removeTree(join(dir, name)))
    .every(Boolean);
  if (!childrenGone) return false;
  try {
    if (existsSync(dir)) rmdirSync(dir);
    return true;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return true;
    if (hasCode(error, "EBUSY")) return false;
    throw error;
  }
}

/** Pids in groups and all below them. Pid 0 stands for a process of a foreign pid namespace. */
function pidsOf(dirs: readonly string[]): number[] {
  const own = dirs.flatMap((dir) => pidsIn(join(dir, "cgroup.procs")));
  const below = dirs.flatMap((dir) => pidsOf(childGroups(dir).map((name) => join(dir, name))));
  return [...new Set([...own, ...below])];
}

function pidsIn(file: string): number[] {
  try {
    return words(file)
      .map(Number)
      .filter((pid) => pid > 0);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
