/** Kubernetes' Pod Security Standards: which Pods a level admits, and why it refuses the others. Pure; docs/policy.md lists the controls. */

import { normalizeCapability } from "../bundle/capabilities.ts";
import { show, type Violation } from "../errors.ts";
import { BASELINE } from "./baseline.ts";
import type { Control, Level } from "./control.ts";
import { isObject } from "./place.ts";
import { RESTRICTED } from "./restricted.ts";

export const CONTROLS: Readonly<Record<Level, readonly Control[]>> = {
  privileged: [],
  baseline: BASELINE,
  restricted: [...BASELINE, ...RESTRICTED],
};

/** Every field of a Pod's manifest that the level refuses, each once: restricted says more than baseline of what both refuse. */
export function levelViolations(pod: unknown, level: Level): Violation[] {
  const byField = new Map<string, Violation>();
  for (const control of CONTROLS[level]) {
    for (const violation of controlViolations(pod, control)) byField.set(violation.field, violation);
  }
  return [...byField.values()];
}

export function controlViolations(pod: unknown, { name, level, rules, unless }: Control): Violation[] {
  if (unless?.holds(pod) === true) return [];
  return rules.flatMap(({ allowed, broken }) =>
    broken(pod).map(({ field, value, fault }): Violation => {
      const shown = value === undefined ? "nothing" : show(value);
      if (fault !== undefined) return { field, rule: fault, value: shown, allowed: fault === "is not a list" ? "a list" : "an object" };
      return { field, rule: `${level} does not admit it (${name})`, value: shown, allowed };
    }),
  );
}

/**
 * A berth Sandbox, as a document or parsed, in the shape of a Pod. Its fields are those of a Pod; its capabilities may be written in any
 * case, with CAP_ or without, and blank ones mean nothing, where a Pod's are exact.
 */
export function sandboxAsPod(sandbox: unknown): unknown {
  return within(sandbox, ["spec", "containers"], (containers) =>
    eachOf(containers, (container) =>
      within(container, ["securityContext", "capabilities"], (capabilities) =>
        within(within(capabilities, ["add"], asPodCapabilities), ["drop"], asPodCapabilities),
      ),
    ),
  );
}

function asPodCapabilities(list: unknown): unknown {
  return eachOf(list, (entry) => {
    if (typeof entry !== "string") return entry;
    return entry.trim() === "" ? undefined : (normalizeCapability(entry)?.replace(/^CAP_/, "") ?? entry);
  });
}

function eachOf(list: unknown, change: (entry: unknown) => unknown): unknown {
  return Array.isArray(list) ? list.map(change) : list;
}

/** A copy with what stands at the path changed; without it, or where the shape is another, the same. */
function within(value: unknown, [key, ...rest]: readonly string[], change: (inner: unknown) => unknown): unknown {
  if (key === undefined) return change(value);
  if (!isObject(value) || !Object.hasOwn(value, key)) return value;
  return { ...value, [key]: within(value[key], rest, change) };
}
