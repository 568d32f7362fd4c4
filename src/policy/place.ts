/** Looks up fields in a manifest that nobody has parsed yet. Pure. */

/** A field of a manifest and what stands there. */
export interface Place {
  /** spec.containers[0].securityContext.privileged */
  readonly field: string;
  /** Undefined when nothing stands there. As for Kubernetes, null is nothing; only an entry of a list keeps it. */
  readonly value: unknown;
  /** Why the path cannot be followed further than `field`. */
  readonly fault?: "is not a list" | "is not an object";
}

/**
 * Every place that the patterns lead to: "spec.volumes[*].hostPath" is one for each volume. A field that is not there is a place without
 * a value; a list that is not there has no entries.
 */
export function places(manifest: unknown, patterns: readonly string[]): Place[] {
  return patterns.flatMap((pattern) => pattern.split(".").reduce(follow, [{ field: "", value: manifest }]));
}

function follow(from: readonly Place[], step: string): Place[] {
  const key = step.replace("[*]", "");
  const inner = from.map((place) => property(place, key));
  return step.endsWith("[*]") ? inner.flatMap(entries) : inner;
}

function property(place: Place, key: string): Place {
  const { field, value, fault } = place;
  if (fault !== undefined) return place;
  const path = field === "" ? key : `${field}.${key}`;
  if (value === undefined || value === null) return { field: path, value: undefined };
  if (!isObject(value)) return { field, value, fault: "is not an object" };
  return { field: path, value: (Object.hasOwn(value, key) ? value[key] : undefined) ?? undefined };
}

function entries({ field, value, fault }: Place): Place[] {
  if (fault !== undefined) return [{ field, value, fault }];
  if (value === undefined) return [];
  if (!Array.isArray(value)) return [{ field, value, fault: "is not a list" }];
  return value.flatMap((entry: unknown, index) => (entry === undefined ? [] : [{ field: `${field}[${index}]`, value: entry }]));
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A copy of the manifest in which fields such as spec.containers[0].name are as in another; what is in the way is left as it is. */
export function withFields(manifest: unknown, fields: readonly string[], other: unknown): unknown {
  let copy = manifest;
  for (const field of fields) {
    const steps = field.split(/[.[\]]+/).filter((step) => step !== "");
    copy = copied(copy, steps, other);
  }
  return copy;
}

function copied(manifest: unknown, [step, ...rest]: readonly string[], other: unknown): unknown {
  if (step === undefined) return other;
  if (Array.isArray(manifest)) {
    const from: unknown = Array.isArray(other) ? other[Number(step)] : undefined;
    return manifest.map((entry: unknown, index) => (String(index) === step ? copied(entry, rest, from) : entry));
  }
  if (!isObject(other) || !(manifest === undefined || manifest === null || isObject(manifest))) return manifest;
  return { ...manifest, [step]: copied(manifest?.[step], rest, other[step]) };
}
