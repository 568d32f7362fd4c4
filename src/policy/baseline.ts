/** The controls of the Pod Security Standards' level baseline, as of Kubernetes 1.37. Pure. */

import { SAFE_SYSCTLS } from "../bundle/sysctls.ts";
import { type Capability, KERNEL_CAPABILITIES } from "../bundle/capabilities.ts";
import {
  type Control,
  entriesAmong,
  ofContainers,
  ofPodAndContainers,
  optional,
  optionalProfile,
  type Rule,
  USER_NAMESPACE,
} from "./control.ts";
import { isObject, type Place, places } from "./place.ts";

export const PROFILE_TYPES = ["RuntimeDefault", "Localhost"];

const CAPABILITIES = `AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID
  SYS_CHROOT`.split(/\s+/);

/** The same as the kernel names them. */
export const BASELINE_CAPABILITIES: readonly Capability[] = KERNEL_CAPABILITIES.filter((name) =>
  CAPABILITIES.includes(name.slice("CAP_".length)),
);

/** A custom user or role is forbidden, a level is free. */
const SELINUX_TYPES = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

const HANDLERS = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];
const HANDLER_HOSTS = HANDLERS.flatMap((handler) => [`${handler}.httpGet.host`, `${handler}.tcpSocket.host`]);

const APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/";

/** What AppArmor's profiles were asked for by before they had a field; Kubernetes still honours it. */
const appArmorAnnotations: Rule = {
  fields: [`metadata.annotations[${APPARMOR_ANNOTATION}*]`],
  allowed: "not set, empty, runtime/default or localhost/*",
  broken: (pod) =>
    places(pod, ["metadata.annotations"]).flatMap((place): Place[] => {
      const { field, value, fault } = place;
      if (fault !== undefined || value === undefined) return fault === undefined ? [] : [place];
      if (!isObject(value)) return [{ field, value, fault: "is not an object" }];
      return Object.entries(value)
        .filter(([key, profile]) => key.startsWith(APPARMOR_ANNOTATION) && !isAllowedAnnotation(profile))
        .map(([key, profile]) => ({ field: `${field}[${key}]`, value: profile }));
    }),
};

function isAllowedAnnotation(profile: unknown): boolean {
  if (profile === null || profile === "" || profile === "runtime/default") return true;
  return typeof profile === "string" && profile.startsWith("localhost/");
}

export const BASELINE: readonly Control[] = [
  { name: "HostProcess", level: "baseline", rules: [optional(ofPodAndContainers("securityContext.windowsOptions.hostProcess"), [false])] },
  { name: "Host Namespaces", level: "baseline", rules: [optional(["spec.hostNetwork", "spec.hostPID", "spec.hostIPC"], [false])] },
  { name: "Privileged Containers", level: "baseline", rules: [optional(ofContainers("securityContext.privileged"), [false])] },
  { name: "Capabilities", level: "baseline", rules: [entriesAmong(ofContainers("securityContext.capabilities.add[*]"), CAPABILITIES)] },
  { name: "HostPath Volumes", level: "baseline", rules: [optional(["spec.volumes[*].hostPath"], [])] },
  { name: "Host Ports", level: "baseline", rules: [optional(ofContainers("ports[*].hostPort"), [0])] },
  { name: "Host Probes / Lifecycle Hooks", level: "baseline", rules: [optional(ofContainers(...HANDLER_HOSTS), [""])] },
  { name: "AppArmor", level: "baseline", rules: [optionalProfile("securityContext.appArmorProfile", PROFILE_TYPES), appArmorAnnotations] },
  {
    name: "SELinux",
    level: "baseline",
    rules: [
      optional(ofPodAndContainers("securityContext.seLinuxOptions.type"), SELINUX_TYPES),
      optional(
        ["user", "role"].flatMap((key) => ofPodAndContainers(`securityContext.seLinuxOptions.${key}`)),
        [""],
      ),
    ],
  },
  {
    name: "/proc Mount Type",
    level: "baseline",
    rules: [optional(ofContainers("securityContext.procMount"), ["Default"])],
    unless: USER_NAMESPACE,
  },
  { name: "Seccomp", level: "baseline", rules: [optionalProfile("securityContext.seccompProfile", PROFILE_TYPES)] },
  { name: "Sysctls", level: "baseline", rules: [entriesAmong(["spec.securityContext.sysctls[*].name"], SAFE_SYSCTLS)] },
];
