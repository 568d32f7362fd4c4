/** What the Pod Security Standards' level restricted asks for beyond baseline, as of Kubernetes 1.37. Pure. */

import { PROFILE_TYPES } from "./baseline.ts";
import {
  type Control,
  either,
  entriesAmong,
  ofContainers,
  ofPodAndContainers,
  optional,
  required,
  requiredProfile,
  requiredSomewhere,
  type Rule,
  USER_NAMESPACE,
  WINDOWS,
} from "./control.ts";
import { isObject, type Place, places } from "./place.ts";

const VOLUME_TYPES = ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"];

/** A volume that names no type is an emptyDir for Kubernetes. */
const volumeTypes: Rule = {
  fields: ["spec.volumes[*]"],
  allowed: either(...VOLUME_TYPES),
  broken: (pod) =>
    places(pod, ["spec.volumes[*]"]).flatMap((place): Place[] => {
      const { field, value, fault } = place;
      if (fault !== undefined || value === null) return fault === undefined ? [] : [place];
      if (!isObject(value)) return [{ field, value, fault: "is not an object" }];
      return Object.entries(value)
        .filter(([key, source]) => key !== "name" && source !== null && !VOLUME_TYPES.includes(key))
        .map(([key, source]) => ({ field: `${field}.${key}`, value: source }));
    }),
};

const nonZeroUser: Rule = {
  fields: ofPodAndContainers("securityContext.runAsUser"),
  allowed: "not set or a number other than 0",
  broken: (pod) =>
    places(pod, ofPodAndContainers("securityContext.runAsUser")).filter(
      ({ value, fault }) => fault !== undefined || (value !== undefined && !(Number.isInteger(value) && value !== 0)),
    ),
};

const dropAll: Rule = {
  fields: ofContainers("securityContext.capabilities.drop"),
  allowed: "a list with ALL",
  broken: (pod) =>
    places(pod, ofContainers("securityContext.capabilities.drop")).filter(
      ({ value, fault }) => fault !== undefined || !(Array.isArray(value) && value.includes("ALL")),
    ),
};

export const RESTRICTED: readonly Control[] = [
  { name: "Volume Types", level: "restricted", rules: [volumeTypes] },
  {
    name: "Privilege Escalation",
    level: "restricted",
    rules: [required("securityContext.allowPrivilegeEscalation", false)],
    unless: WINDOWS,
  },
  {
    name: "Running as Non-root",
    level: "restricted",
    rules: [requiredSomewhere("securityContext.runAsNonRoot", true)],
    unless: USER_NAMESPACE,
  },
  { name: "Running as Non-root user", level: "restricted", rules: [nonZeroUser], unless: USER_NAMESPACE },
  { name: "Seccomp", level: "restricted", rules: [requiredProfile("securityContext.seccompProfile", PROFILE_TYPES)], unless: WINDOWS },
  {
    name: "Capabilities",
    level: "restricted",
    rules: [dropAll, entriesAmong(ofContainers("securityContext.capabilities.add[*]"), ["NET_BIND_SERVICE"])],
    unless: WINDOWS,
  },
  { name: "/proc Mount Type", level: "restricted", rules: [optional(ofContainers("securityContext.procMount"), ["Default"])] },
];
