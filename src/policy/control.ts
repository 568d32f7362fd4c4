/** What a control of the Pod Security Standards is, and the few forms that their rules have. Pure. */

import { isObject, type Place, places } from "./place.ts";

/** From the widest to the narrowest; each has all controls of those before it. */
export const LEVELS = ["privileged", "baseline", "restricted"] as const;

export type Level = (typeof LEVELS)[number];

export interface Control {
  /** Its name in the standards. */
  readonly name: string;
  readonly level: Exclude<Level, "privileged">;
  readonly rules: readonly Rule[];
  readonly unless?: Exception;
}

export interface Rule {
  /** What it is about; [*] is each entry of a list. */
  readonly fields: readonly string[];
  /** What may stand there, for people. */
  readonly allowed: string;
  /** The places of a Pod's manifest that break it. */
  readonly broken: (pod: unknown) => readonly Place[];
}

/** Pods that a control does not apply to. */
export interface Exception {
  readonly says: string;
  readonly holds: (pod: unknown) => boolean;
}

/** Pod validation of Kubernetes refuses the fields of Linux for such Pods, so the standards do not ask for them. */
export const WINDOWS: Exception = {
  says: "`spec.os.name` is `windows`",
  holds: (pod) => valueOf(pod, "spec.os.name") === "windows",
};

/** Root of a user namespace is nobody outside of it. */
export const USER_NAMESPACE: Exception = {
  says: "`spec.hostUsers` is `false`",
  holds: (pod) => valueOf(pod, "spec.hostUsers") === false,
};

const CONTAINERS = ["spec.containers[*]", "spec.initContainers[*]", "spec.ephemeralContainers[*]"];

/** The field in every kind of container. */
export function ofContainers(...fields: readonly string[]): string[] {
  return fields.flatMap((field) => CONTAINERS.map((container) => `${container}.${field}`));
}

/** The field of the Pod and of every kind of container. */
export function ofPodAndContainers(field: string): string[] {
  return [`spec.${field}`, ...ofContainers(field)];
}

/** Nothing, or one of the values. */
export function optional(fields: readonly string[], values: readonly (string | number | boolean)[]): Rule {
  return { fields, allowed: either("not set", ...values.map(text)), broken: (pod) => except(places(pod, fields), [undefined, ...values]) };
}

/** Each entry is one of the values. */
export function entriesAmong(fields: readonly string[], values: readonly string[]): Rule {
  return { fields, allowed: either(...values), broken: (pod) => except(places(pod, fields), values) };
}

/** One of the values in every container, whatever the Pod says. */
export function required(field: string, value: boolean): Rule {
  const fields = ofContainers(field);
  return { fields, allowed: String(value), broken: (pod) => except(places(pod, fields), [value]) };
}

/** A profile need not be there; the type of one that is there is one of the values. */
export function optionalProfile(profile: string, types: readonly string[]): Rule {
  const patterns = ofPodAndContainers(profile);
  return {
    fields: patterns.map(typeOf),
    allowed: either("no profile", ...types),
    broken: (pod) => except(profileTypes(pod, patterns), [undefined, ...types]),
  };
}

/** A profile is there in the Pod or in every container, and wherever it is there its type is one of the values. */
export function requiredProfile(profile: string, types: readonly string[]): Rule {
  const [ofPod, ...patterns] = ofPodAndContainers(profile);
  return {
    fields: ofPodAndContainers(profile).map(typeOf),
    allowed: either(...types, "not set in a container when it is set in the Pod"),
    broken: (pod) => inherited(profileTypes(pod, [ofPod ?? ""]), profileTypes(pod, patterns), types),
  };
}

/** The value is there in the Pod or in every container, and nothing else is anywhere. */
export function requiredSomewhere(field: string, value: boolean): Rule {
  const [ofPod, ...patterns] = ofPodAndContainers(field);
  return {
    fields: ofPodAndContainers(field),
    allowed: either(String(value), "not set in a container when it is set in the Pod"),
    broken: (pod) => inherited(places(pod, [ofPod ?? ""]), places(pod, patterns), [value]),
  };
}

/** What the Pod says wrongly is told once, not again for each container that inherits it. */
function inherited(ofPod: readonly Place[], ofContainers: readonly Place[], values: readonly unknown[]): Place[] {
  const podIsSet = ofPod.some(({ value }) => value !== undefined);
  const optionalValues = [undefined, ...values];
  return [...except(ofPod, optionalValues), ...except(ofContainers, podIsSet ? optionalValues : values)];
}

/** The types of profiles; a profile that is there without a type has the empty one, as in Kubernetes. */
function profileTypes(pod: unknown, patterns: readonly string[]): Place[] {
  return places(pod, patterns).map((place) => {
    if (place.fault !== undefined || (place.value !== undefined && !isObject(place.value))) return { fault: "is not an object", ...place };
    return { field: typeOf(place.field), value: place.value && (place.value["type"] ?? "") };
  });
}

function typeOf(profile: string): string {
  return `${profile}.type`;
}

function except(found: readonly Place[], values: readonly unknown[]): Place[] {
  return found.filter(({ value, fault }) => fault !== undefined || !values.includes(value));
}

function valueOf(pod: unknown, field: string): unknown {
  return places(pod, [field])[0]?.value;
}

function text(value: string | number | boolean): string {
  return value === "" ? "empty" : String(value);
}

/** a, b or c */
export function either(...texts: readonly string[]): string {
  const last = texts.at(-1) ?? "";
  return texts.length < 2 ? last : `${texts.slice(0, -1).join(", ")} or ${last}`;
}
