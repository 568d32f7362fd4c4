/** What a node allows and what it adds, as its policy.yaml says or by itself. Pure. */

import type { Level } from "./control.ts";
import type { Defaults } from "./defaults.ts";
import { LIMITS, type LimitName, type LimitValues, type PolicyClass } from "./limits.ts";

export interface NodePolicy {
  /** What every sandbox must keep. */
  readonly level: Level;
  /** What specs may ask for, whatever their runtime class. */
  readonly limits: Partial<LimitValues>;
  /** The same by name of a class, instead of the node's. */
  readonly runtimeClasses: Readonly<Record<string, Partial<LimitValues>>>;
  readonly defaults: Defaults;
  /** Where each is said: path such as limits.userIds → policy.yaml:12 limits.userIds. */
  readonly sources: ReadonlyMap<string, string>;
}

/** What holds on a node without policy.yaml. */
export const BUILT_IN_POLICY: NodePolicy = { level: "privileged", limits: {}, runtimeClasses: {}, defaults: {}, sources: new Map() };

/** A value that holds, and where it is said. */
export interface Stated<Value> {
  readonly value: Value;
  readonly source: string;
}

export function sourceOf({ sources }: NodePolicy, path: string): string {
  return sources.get(path) ?? `built-in ${path}`;
}

/** What a limit allows in a class: the class's own word, the node's, what is built in. */
export function limitOf<Name extends LimitName>(
  policy: NodePolicy,
  { name: className, isolation }: PolicyClass,
  name: Name,
): Stated<LimitValues[Name]> {
  const ofClass: Partial<LimitValues> = Object.hasOwn(policy.runtimeClasses, className) ? (policy.runtimeClasses[className] ?? {}) : {};
  const own = ofClass[name];
  if (own !== undefined) return { value: own, source: sourceOf(policy, `runtimeClasses.${className}.${name}`) };
  const ofNode = policy.limits[name];
  if (ofNode !== undefined) return { value: ofNode, source: sourceOf(policy, `limits.${name}`) };
  return { value: LIMITS[name].builtIn[isolation], source: `built-in limits.${name}` };
}
