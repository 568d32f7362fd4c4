/** policy.yaml: what a node allows and what it adds. From text to NodePolicy, each value with the line that says it. Pure; loads the YAML parser. */

import { basename } from "node:path/posix";
import * as z from "zod";
import { BerthError, type Violation } from "../errors.ts";
import type { SandboxRequest } from "../sandbox/spec.ts";
import { fieldPath, violationsOf } from "../violations.ts";
import { readYaml, type YamlValue } from "../yaml.ts";
import { defaultViolations } from "./admission.ts";
import { LEVELS } from "./control.ts";
import { defaultsSchema } from "./defaults.ts";
import { LIMIT_NAMES, LIMITS, type LimitName, type LimitValues, type PolicyClass } from "./limits.ts";
import type { NodePolicy } from "./policy.ts";

/** A schema of limits; each may be left out. */
function limitsOf<Name extends LimitName>(names: readonly Name[]) {
  const shape = Object.fromEntries(names.map((name) => [name, LIMITS[name].schema.optional()]));
  return z.strictObject(shape) as unknown as z.ZodType<Partial<Pick<LimitValues, Name>>>;
}

const policySchema = z.strictObject({
  level: z.enum(LEVELS).prefault("privileged"),
  limits: limitsOf(LIMIT_NAMES).prefault({}),
  runtimeClasses: z.record(z.string(), limitsOf(LIMIT_NAMES.filter((name) => name !== "runtimeClasses"))).prefault({}),
  defaults: defaultsSchema.prefault({}),
});

export interface PolicyContext {
  /** The node's runtime classes. */
  readonly classes: readonly PolicyClass[];
  /** A sandbox that says nothing: what defaults come to is tried with it. */
  readonly nothing: SandboxRequest;
}

/** Throws InvalidRequest that names every wrong field with its line: also a class that the node lacks, and a default that policy refuses. */
export function parsePolicy(text: string, filename: string, { classes, nothing }: PolicyContext): NodePolicy {
  const document = readYaml(text, filename);
  const value = document.value ?? {};
  const parsed = policySchema.safeParse(value, { reportInput: true });
  if (!parsed.success) throw refused(filename, violationsOf(parsed.error, value), document);
  const policy: NodePolicy = { ...parsed.data, sources: sourcesOf(value, document, basename(filename)) };
  const violations = [...classViolations(policy, classes), ...defaultViolations(policy, classes, nothing)];
  if (violations.length > 0) throw refused(filename, violations, document);
  return policy;
}

/** A class that is misspelt would be held to less than the author believes. */
function classViolations({ runtimeClasses, defaults }: NodePolicy, classes: readonly PolicyClass[]): Violation[] {
  const names = classes.map(({ name }) => name);
  const known = classes.flatMap(({ name, aliases }) => [name, ...aliases]);
  const rule = "is not a runtime class of this node";
  const unknown = Object.keys(runtimeClasses).filter((name) => !names.includes(name));
  const byDefault = defaults.runtimeClassName;
  return [
    ...unknown.map((name) => ({ field: fieldPath(["runtimeClasses", name]), rule, value: name, allowed: names.join(", ") })),
    ...(byDefault === undefined || known.includes(byDefault)
      ? []
      : [{ field: "defaults.runtimeClassName", rule, value: byDefault, allowed: known.join(", ") }]),
  ];
}

/** Path of everything down to the values of limits and defaults → policy.yaml:12 limits.userIds. */
function sourcesOf(value: unknown, document: YamlValue, name: string): ReadonlyMap<string, string> {
  const sources = new Map<string, string>();
  const visit = (inner: unknown, path: readonly string[]): void => {
    if (path.length > 0) sources.set(fieldPath(path), `${name}:${document.lineOf(path)} ${fieldPath(path)}`);
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return;
    for (const [key, nested] of Object.entries(inner)) visit(nested, [...path, key]);
  };
  visit(value, []);
  return sources;
}

function refused(filename: string, violations: readonly Violation[], document: YamlValue): BerthError {
  const lines = violations.map(({ field, rule, value, allowed }) => {
    const line = document.lineOf(field.split(/[.[\]]+/).filter((step) => step !== ""));
    return `line ${line}: ${field || "the whole"}: ${rule} (found ${value}${allowed === "" ? "" : `; allowed: ${allowed}`})`;
  });
  return new BerthError("InvalidRequest", `the policy ${filename} is refused: ${lines.join("; ")}`, { violations });
}
