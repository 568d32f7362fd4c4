/** What a container's security context comes to when the sandbox's is behind it. Pure. */

import type { AppArmorProfile, ContainerSpec, SandboxSpec, SeccompProfile, SecurityContext } from "../sandbox/spec.ts";
import type { CapabilityRequest } from "./capabilities.ts";

export interface EffectiveSecurity {
  readonly runAsUser: number | undefined;
  readonly runAsGroup: number | undefined;
  readonly runAsNonRoot: boolean;
  readonly supplementalGroups: readonly number[];
  readonly supplementalGroupsPolicy: "Merge" | "Strict";
  readonly seccompProfile: SeccompProfile | undefined;
  readonly appArmorProfile: AppArmorProfile | undefined;
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
    appArmorProfile: own.appArmorProfile ?? common.appArmorProfile,
  };
}

/** What a container asks of capabilities: one that is privileged all of the kernel's, never those that the daemon happens to have. */
export function askedCapabilities({ capabilities, privileged }: Pick<SecurityContext, "capabilities" | "privileged">): CapabilityRequest {
  return privileged === true ? { ...capabilities, add: [...capabilities.add, "ALL"] } : capabilities;
}

type SharedField = "runAsUser" | "runAsGroup" | "runAsNonRoot" | "seccompProfile" | "appArmorProfile";

/** Path of a field that both contexts have, as the request has it; the container's when neither does. */
export function securityField(spec: SandboxSpec, index: number, field: SharedField): string {
  const own = spec.containers[index]?.securityContext[field];
  return own === undefined && spec.securityContext[field] !== undefined
    ? `spec.securityContext.${field}`
    : `spec.containers[${index}].securityContext.${field}`;
}
