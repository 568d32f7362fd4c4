/** Host devices that a spec names, as the node has them. */

import { lstatSync, type Stats } from "node:fs";
import type { DeviceNode } from "../bundle/devices.ts";
import { notOnNode, show, type Violation } from "../errors.ts";
import type { SandboxSpec } from "./spec.ts";

/** Nodes by path. Throws NotEnforceable with every path that is no device of this host. */
export function readDevices(spec: SandboxSpec): Map<string, DeviceNode> {
  const nodes = new Map<string, DeviceNode>();
  const violations: Violation[] = [];
  for (const [index, { devices }] of spec.containers.entries()) {
    for (const [position, { path }] of devices.entries()) {
      const node = nodeAt(path);
      if (typeof node === "object") nodes.set(path, node);
      else {
        const field = `spec.containers[${index}].devices[${position}].path`;
        violations.push({ field, rule: node, value: show(path), allowed: "a character or block device of the node, not a link to one" });
      }
    }
  }
  if (violations.length > 0) throw notOnNode(violations);
  return nodes;
}

/** The node, or why there is none. */
function nodeAt(path: string): DeviceNode | string {
  let stat: Stats;
  try {
    stat = lstatSync(path);
  } catch (error) {
    return `cannot be looked at: ${(error as NodeJS.ErrnoException).code ?? String(error)}`;
  }
  const type = stat.isCharacterDevice() ? "c" : stat.isBlockDevice() ? "b" : undefined;
  if (type === undefined) return "is not a device";
  return { type, major: majorOf(stat.rdev), minor: minorOf(stat.rdev), fileMode: stat.mode & 0o777, uid: stat.uid, gid: stat.gid };
}

/** makedev(3) of glibc: the numbers stand in two pieces each. */
export function majorOf(device: number): number {
  const bits = BigInt(device);
  return Number(((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n));
}

export function minorOf(device: number): number {
  const bits = BigInt(device);
  return Number((bits & 0xffn) | ((bits >> 12n) & 0xffffff00n));
}
