/** Reads a Kubernetes Pod manifest as far as berth implements it; every other field is refused by name, nothing is dropped. Pure. */

import { show, type Violation } from "../errors.ts";
import { fieldPath } from "../violations.ts";
import { annotationFault } from "./annotations.ts";

/** What a Pod says, as the document that parseSandboxRequest takes, with the Pod's own paths. */
export interface PodReading {
  readonly document: unknown;
  readonly violations: Violation[];
  readonly warnings: string[];
}

/** How a field of the manifest is read. */
type Field = "as it is" | "checked here" | ObjectFields | readonly [ObjectFields];

/** The fields of one object of the manifest. */
interface ObjectFields {
  readonly implemented: Readonly<Record<string, Field>>;
  /** Fields of Kubernetes that berth does not implement yet. */
  readonly later: readonly string[];
}

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

const CAPABILITIES: ObjectFields = { implemented: { add: "as it is", drop: "as it is" }, later: [] };

const PROFILE: ObjectFields = { implemented: { type: "as it is", localhostProfile: "as it is" }, later: [] };

const SYSCTL: ObjectFields = { implemented: { name: "as it is", value: "as it is" }, later: [] };

const SECURITY_CONTEXT: ObjectFields = {
  implemented: {
    capabilities: CAPABILITIES,
    runAsUser: "as it is",
    runAsGroup: "as it is",
    runAsNonRoot: "as it is",
    allowPrivilegeEscalation: "as it is",
    readOnlyRootFilesystem: "as it is",
    seccompProfile: PROFILE,
    appArmorProfile: PROFILE,
    procMount: "as it is",
    privileged: "as it is",
  },
  later: words("seLinuxOptions windowsOptions"),
};

const POD_SECURITY_CONTEXT: ObjectFields = {
  implemented: {
    runAsUser: "as it is",
    runAsGroup: "as it is",
    runAsNonRoot: "as it is",
    supplementalGroups: "as it is",
    supplementalGroupsPolicy: "as it is",
    seccompProfile: PROFILE,
    appArmorProfile: PROFILE,
    sysctls: [SYSCTL],
  },
  later: words(`
    fsGroup fsGroupChangePolicy seLinuxChangePolicy seLinuxOptions windowsOptions
  `),
};

const ENV_VAR: ObjectFields = { implemented: { name: "as it is", value: "as it is" }, later: ["valueFrom"] };

const VOLUME_MOUNT: ObjectFields = {
  implemented: {
    name: "as it is",
    mountPath: "as it is",
    readOnly: "as it is",
    recursiveReadOnly: "as it is",
    mountPropagation: "as it is",
  },
  later: words("subPath subPathExpr"),
};

const EMPTY_DIR: ObjectFields = { implemented: { medium: "as it is", sizeLimit: "as it is" }, later: [] };

const HOST_PATH: ObjectFields = { implemented: { path: "as it is", type: "as it is" }, later: [] };

const IMAGE_VOLUME: ObjectFields = { implemented: { reference: "as it is", pullPolicy: "as it is" }, later: [] };

const VOLUME: ObjectFields = {
  implemented: { name: "as it is", emptyDir: EMPTY_DIR, hostPath: HOST_PATH, image: IMAGE_VOLUME },
  later: words(`
    awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI ephemeral fc flexVolume flocker
    gcePersistentDisk gitRepo glusterfs iscsi nfs persistentVolumeClaim photonPersistentDisk portworxVolume
    projected quobyte rbd scaleIO secret storageos vsphereVolume
  `),
};

const HOST_ALIAS: ObjectFields = { implemented: { ip: "as it is", hostnames: "as it is" }, later: [] };

const CONTAINER: ObjectFields = {
  implemented: {
    name: "as it is",
    image: "as it is",
    command: "as it is",
    args: "as it is",
    env: [ENV_VAR],
    workingDir: "as it is",
    securityContext: SECURITY_CONTEXT,
    volumeMounts: [VOLUME_MOUNT],
  },
  later: words(`
    envFrom imagePullPolicy lifecycle livenessProbe ports readinessProbe resizePolicy resources restartPolicy
    restartPolicyRules startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices
  `),
};

const POD_SPEC: ObjectFields = {
  implemented: {
    runtimeClassName: "as it is",
    restartPolicy: "as it is",
    containers: [CONTAINER],
    securityContext: POD_SECURITY_CONTEXT,
    hostname: "as it is",
    hostAliases: [HOST_ALIAS],
    activeDeadlineSeconds: "as it is",
    terminationGracePeriodSeconds: "as it is",
    volumes: [VOLUME],
  },
  later: words(`
    affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks
    ephemeralContainers hostIPC hostNetwork hostPID hostUsers hostnameOverride imagePullSecrets
    initContainers nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates
    resourceClaims resources schedulerName schedulingGates serviceAccount serviceAccountName
    setHostnameAsFQDN shareProcessNamespace subdomain tolerations
    topologySpreadConstraints workloadRef
  `),
};

const METADATA: ObjectFields = {
  implemented: { namespace: "as it is", name: "as it is", labels: "as it is", annotations: "checked here" },
  later: words(`
    creationTimestamp deletionGracePeriodSeconds deletionTimestamp finalizers generateName generation
    managedFields ownerReferences resourceVersion selfLink uid
  `),
};

const POD: ObjectFields = {
  implemented: { apiVersion: "checked here", kind: "checked here", metadata: METADATA, spec: POD_SPEC },
  later: ["status"],
};

/** How the rule of a violation ends that is none for Kubernetes. */
const NOT_IMPLEMENTED = "is not implemented by berth yet";

/** A field of a Pod, for the docs. */
export interface PodField {
  /** Such as spec.containers[].name. */
  readonly path: string;
  readonly implemented: boolean;
}

/** Every field that berth knows of a Pod, in the order of the tables; those within a field that is not implemented are not listed. */
export function podFields(fields: ObjectFields = POD, path = ""): PodField[] {
  const implemented = Object.entries(fields.implemented).flatMap(([key, field]) => {
    if (typeof field === "string") return [{ path: `${path}${key}`, implemented: true }];
    return isList(field) ? podFields(field[0], `${path}${key}[].`) : podFields(field, `${path}${key}.`);
  });
  return [...implemented, ...fields.later.map((key) => ({ path: `${path}${key}`, implemented: false }))];
}

/** Reads {apiVersion: v1, kind: Pod, metadata, spec}. */
export function readPod(pod: Readonly<Record<string, unknown>>): PodReading {
  const violations: Violation[] = [];
  const document = readObject(pod, POD, [], violations);
  const restartPolicy = isObject(pod["spec"]) ? pod["spec"]["restartPolicy"] : undefined;
  const absent = restartPolicy === undefined || restartPolicy === null;
  const annotations = isObject(pod["metadata"]) ? (pod["metadata"]["annotations"] ?? {}) : {};
  violations.push(...annotationViolations(annotations));
  const warnings = [
    ...(absent ? ["spec.restartPolicy is not set: Kubernetes would restart containers (Always), berth runs them once (Never)"] : []),
    ...(Object.keys(annotations).length > 0
      ? ["metadata.annotations of a Pod are for Kubernetes: berth does not keep them, and no container's config.json has them"]
      : []),
  ];
  return { document, violations, warnings };
}

/** Those by which a Pod's author means to change how it runs. Others mean nothing to berth. */
function annotationViolations(annotations: unknown): Violation[] {
  const field = "metadata.annotations";
  if (!isObject(annotations)) return [{ field, rule: "is not an object", value: show(annotations), allowed: "texts by their keys" }];
  return Object.entries(annotations).flatMap(([key, value]): Violation[] => {
    const place = { field: `${field}[${key}]`, value: show(value) };
    const fault = annotationFault(key);
    if (fault === "reserved") return [{ ...place, rule: "is reserved: runtimes read settings there", allowed: "leave it out" }];
    if (fault === "old security setting") return [{ ...place, rule: NOT_IMPLEMENTED, allowed: "the field of securityContext" }];
    return typeof value === "string" ? [] : [{ ...place, rule: "is not a text", allowed: "a text" }];
  });
}

/** Whether the manifest is right there, and berth not there yet. */
export function isNotImplemented({ rule }: Violation): boolean {
  return rule.endsWith(NOT_IMPLEMENTED);
}

/** Keeps what is implemented. As for Kubernetes, null is the same as not there. What is of a wrong type is left to the parser. */
function readObject(value: unknown, fields: ObjectFields, path: readonly PropertyKey[], violations: Violation[]): unknown {
  if (!isObject(value)) return value;
  const kept: [string, unknown][] = [];
  for (const [key, inner] of Object.entries(value)) {
    const field = Object.hasOwn(fields.implemented, key) ? fields.implemented[key] : undefined;
    if (field === undefined) {
      if (inner !== null || !fields.later.includes(key)) violations.push(refusedField(key, inner, fields, path));
    } else if (inner !== null && field !== "checked here") {
      kept.push([key, readField(inner, field, [...path, key], violations)]);
    }
  }
  return Object.fromEntries(kept);
}

function readField(value: unknown, field: Exclude<Field, "checked here">, path: readonly PropertyKey[], violations: Violation[]): unknown {
  if (field === "as it is") return value;
  if (!isList(field)) return readObject(value, field, path, violations);
  const [item] = field;
  return Array.isArray(value) ? value.map((entry, index) => readObject(entry, item, [...path, index], violations)) : value;
}

function refusedField(key: string, value: unknown, fields: ObjectFields, path: readonly PropertyKey[]): Violation {
  const rule = fields.later.includes(key) ? NOT_IMPLEMENTED : "is not a field of a Pod";
  return { field: fieldPath([...path, key]), rule, value: show(value), allowed: "leave it out" };
}

function isList(field: Field): field is readonly [ObjectFields] {
  return Array.isArray(field);
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
