/** May this sandbox run on this node? The node's defaults first, then its level and limits on what comes of them. Pure. */

import { resolveUser } from "../bundle/user.ts";
import type { OciUser } from "../bundle/oci.ts";
import { effectiveSecurity } from "../bundle/security.ts";
import { policyRefused, show, toBerthError, type Violation } from "../errors.ts";
import type { UserDatabase } from "../image/image.ts";
import type { SandboxRequest, SandboxSpec } from "../sandbox/spec.ts";
import { conflicts, type Defaulted, withDefaults } from "./defaults.ts";
import { withFields } from "./place.ts";
import { levelViolations, sandboxAsPod } from "./levels.ts";
import {
  type Asked,
  isEveryId,
  LIMIT_NAMES,
  LIMITS,
  LIMITS_OF_IMAGES,
  type LimitName,
  type LimitValues,
  type PolicyClass,
} from "./limits.ts";
import { limitOf, type NodePolicy, sourceOf, type Stated } from "./policy.ts";

/** A request that policy admits, as far as can be known without its images. */
export interface AdmittedRequest extends Defaulted {
  /** What holds for it. */
  readonly policy: NodePolicy;
  readonly runtimeClass: PolicyClass;
}

/** The request with the node's defaults. */
export function applyDefaults(request: SandboxRequest, policy: NodePolicy): Defaulted {
  return withDefaults(request, policy.defaults, (path) => sourceOf(policy, path));
}

/** `asked` has the node's defaults already, so that its class is known. Throws PolicyRefused with every violation. */
export function admit(asked: Defaulted, policy: NodePolicy, runtimeClass: PolicyClass): AdmittedRequest {
  const violations = policyViolations(asked, policy, runtimeClass);
  if (violations.length > 0) throw policyRefused(violations);
  return { ...asked, policy, runtimeClass };
}

/**
 * Everything that the policy refuses, as far as can be known without the images. `pod` is a manifest to hold against the level in place of
 * the request, which may say more than berth reads; what the node adds is filled in.
 */
export function policyViolations(asked: Defaulted, policy: NodePolicy, runtimeClass: PolicyClass, pod?: unknown): Violation[] {
  const { spec } = asked.request;
  const parsed = sandboxAsPod(asked.request);
  const manifest = pod === undefined ? parsed : withFields(pod, [...asked.defaulted.keys()], parsed);
  return [
    ...conflicts(asked),
    ...levelViolations(manifest, policy.level).map((violation) => ({
      ...violation,
      rule: `${violation.rule}: ${sourceOf(policy, "level")}`,
    })),
    ...LIMIT_NAMES.flatMap((name) => limitViolations(name, limitOf(policy, runtimeClass, name), { spec, runtimeClass, users: undefined })),
  ];
}

function limitViolations<Name extends LimitName>(name: Name, stated: Stated<LimitValues[Name]>, asked: Asked): Violation[] {
  const limit: (typeof LIMITS)[Name] = LIMITS[name];
  const { value: allowed, source } = stated;
  const found = limit.exceeding(asked, allowed).map(
    ({ field, value, by }): Violation => ({
      field,
      rule: `${by === undefined ? "" : `${by} `}is more than the node allows (${source})`,
      value: value === undefined ? "nothing" : show(value),
      allowed: limit.allowed(allowed),
    }),
  );
  // Two containers that inherit the same are one place.
  return found.filter(({ field, value }, index) => found.findIndex((other) => other.field === field && other.value === value) === index);
}

/** What images say that policy looks at. */
interface ImageOfPolicy {
  readonly config: { readonly user: string };
  readonly users: UserDatabase;
}

/** Fields of the request that only the images can fill in, and that policy limits. */
export function dependingOnImages({ request: { spec }, policy, runtimeClass }: AdmittedRequest): string[] {
  const [users, groups] = LIMITS_OF_IMAGES.map((name) => !isEveryId(limitOf(policy, runtimeClass, name).value));
  return spec.containers.flatMap((container, index) => {
    const { runAsUser, runAsGroup, supplementalGroupsPolicy } = effectiveSecurity(spec, container);
    const path = `spec.containers[${index}].securityContext`;
    const groupsOpen = runAsGroup === undefined || supplementalGroupsPolicy === "Merge";
    return [...(users && runAsUser === undefined ? [`${path}.runAsUser`] : []), ...(groups && groupsOpen ? [`${path}.runAsGroup`] : [])];
  });
}

/** Holds the users and groups that the images bring along against the limits. Images are by container name. Throws PolicyRefused. */
export function admitUsers(admitted: AdmittedRequest, images: ReadonlyMap<string, ImageOfPolicy>): void {
  const { request, policy, runtimeClass } = admitted;
  const { spec } = request;
  const users = new Map(spec.containers.map((container) => [container.name, userOf(spec, container.name, images)]));
  const violations = LIMITS_OF_IMAGES.flatMap((name) =>
    limitViolations(name, limitOf(policy, runtimeClass, name), { spec, runtimeClass, users }),
  );
  if (violations.length > 0) throw policyRefused(violations);
}

/** Holds where the host paths of the spec really are against the limits. `spec` is the request's with the real paths. Throws PolicyRefused. */
export function admitHostPaths({ policy, runtimeClass }: AdmittedRequest, spec: SandboxSpec): void {
  const violations = limitViolations("hostPaths", limitOf(policy, runtimeClass, "hostPaths"), { spec, runtimeClass, users: undefined });
  if (violations.length > 0) throw policyRefused(violations);
}

function userOf(spec: SandboxSpec, name: string, images: ReadonlyMap<string, ImageOfPolicy>): OciUser {
  const container = spec.containers.find((entry) => entry.name === name);
  const image = images.get(name);
  if (!container || !image) throw new Error(`no image of container ${name}`);
  try {
    return resolveUser({ ...effectiveSecurity(spec, container), imageUser: image.config.user, users: image.users });
  } catch (error) {
    throw toBerthError(error).at({ container: name });
  }
}

/** Defaults that the policy itself refuses in a class, as they stand in policy.yaml. `nothing` is a sandbox that says nothing. */
export function defaultViolations(policy: NodePolicy, classes: readonly PolicyClass[], nothing: SandboxRequest): Violation[] {
  const asked = applyDefaults(nothing, policy);
  const found = classes.flatMap((runtimeClass) => {
    const isDefault = [runtimeClass.name, ...runtimeClass.aliases].includes(asked.request.spec.runtimeClassName);
    const violations = policyViolations(asked, policy, runtimeClass);
    return violations.filter(({ field }) => field !== "spec.runtimeClassName" || isDefault);
  });
  const bySource = new Map<string, Violation>();
  for (const violation of found) {
    const [, source] = [...asked.defaulted].find(([field]) => violation.field === field || violation.field.startsWith(`${field}.`)) ?? [];
    if (source !== undefined) bySource.set(source, { ...violation, field: source.slice(source.indexOf(" ") + 1) });
  }
  return [...bySource.values()];
}
