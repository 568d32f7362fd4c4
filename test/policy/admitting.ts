/** Admission for tests: on a node with the built-in classes. */

import { loadConfig } from "../../src/config.ts";
import { BerthError, type Violation } from "../../src/errors.ts";
import type { AdmittedRequest } from "../../src/policy/admission.ts";
import type { PolicyClass } from "../../src/policy/limits.ts";
import { parsePolicy } from "../../src/policy/node-policy.ts";
import type { NodePolicy } from "../../src/policy/policy.ts";
import { admitRequest, policyClasses } from "../../src/sandbox/admit.ts";
import { requestOf } from "../bundle/rendering.ts";

export const CONFIG = await loadConfig("/dev/null");
/** runsc (alias gvisor), runc and crun. */
export const CLASSES: readonly PolicyClass[] = policyClasses(CONFIG);

/** A policy.yaml, as text or as what stands in it (on line 1). */
export function policyOf(policy: unknown): NodePolicy {
  const text = typeof policy === "string" ? policy : JSON.stringify(policy);
  return parsePolicy(text, "/etc/berth/policy.yaml", { classes: CLASSES, nothing: requestOf([{}]) });
}

interface Spec {
  readonly containers?: readonly object[];
  readonly runtimeClassName?: string;
  readonly securityContext?: object;
}

/** A spec whose containers have names and images by themselves; one that says nothing where it names none. */
export function admitIn({ containers = [{}], ...sandbox }: Spec, policy: NodePolicy): AdmittedRequest {
  return admitRequest(requestOf(containers, sandbox), policy, CONFIG);
}

/** What the policy refuses; nothing when it admits. */
export function violationsOf(spec: Spec, policy: NodePolicy): readonly Violation[] {
  try {
    admitIn(spec, policy);
    return [];
  } catch (error) {
    if (error instanceof BerthError && error.reason === "PolicyRefused" && error.detail.violations) return error.detail.violations;
    throw error;
  }
}
