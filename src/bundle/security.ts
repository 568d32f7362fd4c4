/** What a container's security context comes to when the sandbox's is behind it. Pure. */

import type { ContainerSpec, SandboxSpec, SeccompProfile } from "../sandbox/spec.ts";

export interface EffectiveSecurity {
  readonly runAsUser: number | undefined;
  readonly runAsGroup: number | undefined;
  readonly runAsNonRoot: boolean;
  readonly supplementalGroups: readonly number[];
  readonly supplementalGroupsPolicy: "Merge" | "Strict";
  readonly seccompProfile: SeccompProfile | undefined;
}

/** The container's own word wins, field by field, as in Kubernetes. */
export function effectiveSecurity(spec: SandboxSpec, container: ContainerSpec): EffectiveSecurity {
  const [own, common] = [container.securityContext, spec.securityContext];
  return {
    runAsUser: own.runAsUser ?? common.runAsUser,
    runAsGroup: own.runAsGroup ?? common.runAsGroup,
    runAsNonRoot: own.runAsNonRoot ?? common.runAsNonRoot ?? false,
    supplementalGroups: common.supplementalGroups,
    supplementalGroupsPolicy: common.supplementalGroupsPolicy,
    seccompProfile: own.seccompProfile ?? common.seccompProfile,
  };
}

type SharedField = "runAsUser" | "runAsGroup" | "runAsNonRoot" | "seccompProfile";

/** Path of a field that both contexts have, as the request has it; the container's when neither does. */
export function securityField(spec: SandboxSpec, index: number, field: SharedField): string {
  const own = spec.containers[index]?.securityContext[field];
  return own === undefined && spec.securityContext[field] !== undefined
    ? `spec.securityContext.${field}`
    : `spec.containers[${index}].securityContext.${field}`;
}
