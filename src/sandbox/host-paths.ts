/** Host paths that a spec names, as the node has them. */

import { lstatSync, realpathSync, type Stats } from "node:fs";
import { hostPathFault } from "../bundle/destinations.ts";
import { volumeOf } from "../bundle/mounts.ts";
import { notOnNode, show, type Violation } from "../errors.ts";
import { propagationAt } from "../host/mounts.ts";
import type { RuntimeTraits } from "../runtime/runtime.ts";
import type { HostPathType } from "./volumes.ts";
import type { SandboxSpec } from "./spec.ts";

type MountTraits = Pick<RuntimeTraits, "hideUnifiedCgroup">;

/** Real paths of the host paths, by name of the volume. */
export type HostPaths = Readonly<Record<string, string>>;

/** Throws NotEnforceable with every path that is not there, is not what it must be, or cannot propagate mounts. Makes nothing. */
export function readHostPaths(spec: SandboxSpec, { hideUnifiedCgroup }: MountTraits): HostPaths {
  const paths: Record<string, string> = {};
  const violations: Violation[] = [];
  for (const [index, { name, hostPath }] of spec.volumes.entries()) {
    if (!hostPath) continue;
    const found = lookAt(hostPath.path, hostPath.type);
    if ("real" in found) paths[name] = found.real;
    else violations.push({ field: `spec.volumes[${index}].hostPath.${found.field}`, ...found.fault });
  }
  refuse([...violations, ...privateMounts(spec, paths, hideUnifiedCgroup)]);
  return paths;
}

/** Throws NotEnforceable when one has come to lead elsewhere since it was admitted: whoever may write above it could have put a link there. */
export function requireUnmoved(spec: SandboxSpec, paths: HostPaths): void {
  refuse(
    spec.volumes.flatMap(({ name }, index): Violation[] => {
      const path = paths[name];
      if (path === undefined || realPath(path) === path) return [];
      const allowed = "leave it where it was, or start the sandbox anew";
      return [
        { field: `spec.volumes[${index}].hostPath.path`, rule: "leads elsewhere than when it was admitted", value: show(path), allowed },
      ];
    }),
  );
}

/** The spec with the real paths in place of those that were asked for: what policy looks at a second time. */
export function withRealPaths(spec: SandboxSpec, paths: HostPaths): SandboxSpec {
  const volumes = spec.volumes.map((volume) => {
    const path = paths[volume.name];
    return volume.hostPath && path !== undefined ? { ...volume, hostPath: { ...volume.hostPath, path } } : volume;
  });
  return { ...spec, volumes };
}

type Found = { readonly real: string } | { readonly field: "path" | "type"; readonly fault: Omit<Violation, "field"> };

function lookAt(path: string, type: HostPathType): Found {
  const real = realPath(path);
  const bad = (rule: string, allowed: string): Found => ({ field: "path", fault: { rule, value: show(path), allowed } });
  if (real === undefined) return bad("is not there on the node", "a path that is there: berth makes none");
  const fault = hostPathFault(real);
  if (fault !== undefined) return bad(`leads to ${real}, which ${fault}`, "a path below /, but not in /proc and /sys");
  const kind = kindOf(lstatSync(real));
  if (type === "" || type === kind) return { real };
  const rule = `is not what stands at ${path}: ${kind === "" ? "something else" : `a ${kind}`}`;
  return { field: "type", fault: { rule, value: type, allowed: kind === "" ? "leave it out" : `${kind}, or leave it out` } };
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** As Kubernetes names it; "" for what it has no name for. */
function kindOf(stat: Stats): HostPathType {
  if (stat.isDirectory()) return "Directory";
  if (stat.isFile()) return "File";
  if (stat.isSocket()) return "Socket";
  if (stat.isCharacterDevice()) return "CharDevice";
  return stat.isBlockDevice() ? "BlockDevice" : "";
}

const IN_SLAVE = {
  rule: "is not possible for this runtime on a node with a v2 cgroup tree beside v1 hierarchies, which must be hidden from it",
  allowed: "None, HostToContainer, or a runtime class of runc",
};

/** Nothing propagates from and to a private mount, and no runtime says so. */
function privateMounts(spec: SandboxSpec, paths: HostPaths, inSlave: boolean): Violation[] {
  return spec.containers.flatMap(({ volumeMounts }, index) =>
    volumeMounts.flatMap((volumeMount, position): Violation[] => {
      const { mountPropagation = "None" } = volumeMount;
      const path = paths[volumeOf(spec, volumeMount).name];
      if (path === undefined || mountPropagation === "None") return [];
      const field = `spec.containers[${index}].volumeMounts[${position}].mountPropagation`;
      if (inSlave && mountPropagation === "Bidirectional") return [{ field, value: mountPropagation, ...IN_SLAVE }];
      const { isShared, isSlave } = propagationAt(path);
      if (isShared || (isSlave && mountPropagation === "HostToContainer")) return [];
      const rule = `is not possible for ${path}, which lies in a private mount of the node`;
      const allowed = "None, or make it a shared mount: mount --make-shared";
      return [{ field, rule, value: mountPropagation, allowed }];
    }),
  );
}

function refuse(violations: readonly Violation[]): void {
  if (violations.length > 0) throw notOnNode(violations);
}
