import { readFileSync } from "node:fs";
import { type Capability, capabilitiesOfMask } from "../bundle/capabilities.ts";

/** This process's bounding set: what berthd can give to containers under a runtime that shares the kernel. */
export function nodeCapabilities(): ReadonlySet<Capability> {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return new Set(capabilitiesOfMask(mask));
}
