/** A request and the policy of a node with these runtime classes. Pure. */

import { RENDER_TRAITS } from "../bundle/render.ts";
import type { BerthConfig, RuntimeClassConfig } from "../config.ts";
import { type AdmittedRequest, admit, applyDefaults, dependingOnImages, policyViolations } from "../policy/admission.ts";
import { toBerthError, type Violation } from "../errors.ts";
import { withDefaultCapabilities } from "../policy/defaults.ts";
import type { PolicyClass } from "../policy/limits.ts";
import type { NodePolicy } from "../policy/policy.ts";
import { findClass } from "../runtime/registry.ts";
import type { SandboxRecord } from "./record.ts";
import type { SandboxRequest } from "./spec.ts";

/** The request as it may run: with the node's defaults. Throws RuntimeClassUnknown, or PolicyRefused with every violation. */
export function admitRequest(request: SandboxRequest, policy: NodePolicy, config: BerthConfig): AdmittedRequest {
  const asked = withDefaultCapabilities(applyDefaults(request, policy), config.defaultCapabilities);
  return admit(asked, policy, classOf(asked.request, config));
}

/** What was admitted when it was created, under the policy of now. Throws PolicyRefused with every violation. */
export function admitAgain(record: SandboxRecord, policy: NodePolicy, config: BerthConfig): AdmittedRequest {
  const { namespace, name, labels, annotations, spec } = record;
  const request = { metadata: { namespace, name, labels, annotations }, spec };
  const asked = { request, defaulted: new Map(Object.entries(record.defaulted ?? {})) };
  return admit(asked, policy, classOf(request, config));
}

/** What a policy makes of a document without looking at images: what it refuses, and which fields only the images can fill in. */
export function examineRequest(
  request: SandboxRequest,
  pod: unknown,
  policy: NodePolicy,
  config: BerthConfig,
): { violations: Violation[]; open: string[] } {
  const asked = withDefaultCapabilities(applyDefaults(request, policy), config.defaultCapabilities);
  const runtimeClass = classOf(asked.request, config);
  return {
    violations: policyViolations(asked, policy, runtimeClass, pod),
    open: dependingOnImages({ ...asked, policy, runtimeClass }),
  };
}

/** Throws RuntimeClassUnknown with the stage at which a create looks for its runtime. */
function classOf({ spec }: SandboxRequest, config: BerthConfig): PolicyClass {
  try {
    return policyClass(findClass(config, spec.runtimeClassName));
  } catch (error) {
    throw toBerthError(error).at({ stage: "runtime" });
  }
}

export function policyClasses(config: BerthConfig): PolicyClass[] {
  return config.runtimeClasses.map(policyClass);
}

function policyClass({ name, aliases, adapter }: RuntimeClassConfig): PolicyClass {
  return { name, aliases, isolation: RENDER_TRAITS[adapter].isolation };
}
