/**
 * What differs between the config.json files of two sandboxes, and where each value comes from. Pure.
 * Lists whose order means nothing are compared by their entries: capabilities, groups, mount options, paths and names of system calls as sets;
 * variables by name, mounts by destination, limits and namespaces by type, rules of seccomp by what they do under which condition.
 * Where berth put a container (origin "placement") differs between any two sandboxes and does not count.
 */

import type { Origin } from "./explain.ts";
import { parseExact } from "./oci.ts";
import { pointerOf } from "./pointer.ts";

/** The config.json of one container, whoever wrote it. */
export interface DiffBundle {
  readonly container: string;
  readonly configJson: string;
  /** May be incomplete. */
  readonly provenance: readonly Origin[];
}

/** A value on one of the two sides. */
export interface DiffValue {
  /** JSON pointer in that side's config.json. */
  readonly pointer: string;
  /** String, number, bigint, boolean, null, or an empty object or list. */
  readonly value: unknown;
  readonly origin: Origin | undefined;
}

/** One value that is not the same on both sides; it is on one of them at least. */
export interface Difference {
  readonly container: string;
  /** Keys of the entries of lists that the value lies in, such as a mount's destination. */
  readonly entries: readonly string[];
  readonly a: DiffValue | undefined;
  readonly b: DiffValue | undefined;
}

export interface BundleDiff {
  /** In the order of A, then what only B has. */
  readonly differences: readonly Difference[];
  /** Containers that only one side has; their values are not listed. */
  readonly onlyInA: readonly string[];
  readonly onlyInB: readonly string[];
}

/** Throws SyntaxError for a config.json that is not JSON. */
export function diffBundles(a: readonly DiffBundle[], b: readonly DiffBundle[]): BundleDiff {
  const ofB = new Map(b.map((bundle) => [bundle.container, bundle]));
  const without = (these: readonly DiffBundle[], those: readonly DiffBundle[]): string[] =>
    these.map(({ container }) => container).filter((name) => those.every(({ container }) => container !== name));
  return {
    differences: a.flatMap((bundle) => {
      const other = ofB.get(bundle.container);
      return other ? diffContainer(bundle, other) : [];
    }),
    onlyInA: without(a, b),
    onlyInB: without(b, a),
  };
}

/** Origins of a config.json as it lies on the node: those of a rendered one, for each value that is the same in both. */
export function originsOfWritten(configJson: string, rendered: DiffBundle): Origin[] {
  const known = valuesOf(rendered);
  return [...valuesOf({ ...rendered, configJson, provenance: [] })].flatMap(([key, { pointer, value }]) => {
    const same = known.get(key);
    return same?.origin && isSame(same.value, value) ? [{ ...same.origin, pointer }] : [];
  });
}

function diffContainer(a: DiffBundle, b: DiffBundle): Difference[] {
  const [inA, inB] = [valuesOf(a), valuesOf(b)];
  const keys = [...new Set([...inA.keys(), ...inB.keys()])];
  return keys.flatMap((key) => {
    const [one, other] = [inA.get(key), inB.get(key)];
    if (!counts(key, one, other)) return [];
    const { entries } = (one ?? other) as KeyedValue;
    return [{ container: a.container, entries, a: one && plain(one), b: other && plain(other) }];
  });
}

const plain = ({ pointer, value, origin }: KeyedValue): DiffValue => ({ pointer, value, origin });

const isPlaced = (value: KeyedValue): boolean => value.origin?.kind === "placement";

function counts(key: string, one: KeyedValue | undefined, other: KeyedValue | undefined): boolean {
  if (one && other) return !(isPlaced(one) && isPlaced(other)) && !isSame(one.value, other.value);
  const only = (one ?? other) as KeyedValue;
  // Whether cgroups are used at all is the node's.
  if (key === CGROUPS_PATH && isPlaced(only)) return false;
  // What is inside is compared by itself.
  return !isCollection(only.value) || Object.keys(only.value).length === 0;
}

const CGROUPS_PATH = keyOf(["linux", "cgroupsPath"]);

/** An object or list is the same as another of its kind, whatever is inside. */
function isSame(one: unknown, other: unknown): boolean {
  if (isCollection(one) && isCollection(other)) return Array.isArray(one) === Array.isArray(other);
  return one === other;
}

interface KeyedValue extends DiffValue {
  readonly entries: readonly string[];
}

/** Every value of a config.json, objects and lists too, by what it is about rather than by where it stands. */
function valuesOf({ configJson, provenance }: DiffBundle): Map<string, KeyedValue> {
  const origins = new Map(provenance.map((origin) => [origin.pointer, origin]));
  const found = new Map<string, KeyedValue>();
  const visit = (value: unknown, path: readonly string[], identity: readonly string[], entries: readonly string[]): void => {
    const pointer = pointerOf(path);
    const key = keyOf(identity);
    // Two rules of seccomp that differ in names only are one; a member is in a set or not.
    if (!found.has(key)) found.set(key, { pointer, value, origin: origins.get(pointer), entries });
    if (Array.isArray(value)) {
      const kind = listKind(identity);
      const keys = keysOf(value, kind);
      for (const [index, entry] of value.entries()) {
        const name = keys[index] ?? "";
        const named = kind.keyed ? [...entries, name] : entries;
        if (kind.only !== undefined && isCollection(entry) && kind.only in entry)
          visit(entry[kind.only], [...path, `${index}`, kind.only], [...identity, name, kind.only], named);
        else visit(entry, [...path, `${index}`], [...identity, name], named);
      }
    } else if (isCollection(value)) {
      for (const [name, inner] of Object.entries(value)) visit(inner, [...path, name], [...identity, name], entries);
    }
  };
  visit(parseExact(configJson), [], [], []);
  return found;
}

function isCollection(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Unique, as no name has a NUL. */
function keyOf(identity: readonly string[]): string {
  return identity.join("\0");
}

/** How the entries of a list are told apart. */
interface ListKind {
  readonly key: (entry: unknown, index: number) => string;
  /** Entries with the same key are one. */
  readonly merged?: true;
  /** The key says of an entry what its pointer does not. */
  readonly keyed?: true;
  /** The key says all of an entry but this field. */
  readonly only?: string;
}

const inOrder: ListKind = { key: (_entry, index) => `${index}` };
const asSet: ListKind = { key: text, merged: true };
const byField = (name: string): ListKind => ({
  key: (entry) => text(isCollection(entry) && name in entry ? entry[name] : entry),
  keyed: true,
});
const byVariable: ListKind = { key: (entry) => text(entry).split("=", 1)[0] ?? "" };
const byRule: ListKind = { key: ruleKey, merged: true, keyed: true, only: "names" };

function ruleKey(rule: unknown): string {
  if (!isCollection(rule)) return text(rule);
  const { names: _names, action, ...condition } = rule;
  return Object.keys(condition).length === 0 ? text(action) : `${text(action)} ${text(condition)}`;
}

function text(value: unknown): string {
  return typeof value === "string"
    ? value
    : JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? `${inner}` : inner));
}

/** By path; "*" is any key. What is not here is compared in order. */
const LISTS: readonly (readonly [path: string, kind: ListKind])[] = [
  ["process/env", byVariable],
  ["process/rlimits", byField("type")],
  ["process/capabilities/*", asSet],
  ["process/user/additionalGids", asSet],
  ["mounts", byField("destination")],
  ["mounts/*/options", asSet],
  ["linux/namespaces", byField("type")],
  ["linux/maskedPaths", asSet],
  ["linux/readonlyPaths", asSet],
  ["linux/seccomp/architectures", asSet],
  ["linux/seccomp/syscalls", byRule],
  ["linux/seccomp/syscalls/*/names", asSet],
];
const LIST_KINDS = LISTS.map(([path, kind]) => ({ path: path.split("/"), kind }));

function listKind(identity: readonly string[]): ListKind {
  const matches = (path: readonly string[]): boolean =>
    path.length === identity.length && path.every((part, index) => part === "*" || part === identity[index]);
  return LIST_KINDS.find(({ path }) => matches(path))?.kind ?? inOrder;
}

/** A key that comes again gets a number, unless entries of one key are one. */
function keysOf(entries: readonly unknown[], { key, merged }: ListKind): string[] {
  const seen = new Map<string, number>();
  return entries.map((entry, index) => {
    const name = key(entry, index);
    if (merged) return name;
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name} (${count})`;
  });
}
