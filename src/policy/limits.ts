/**
 * The limits that a node may set on what specs ask for, in one table. Pure. docs/policy.md lists the same; a test makes it from here.
 *
 * A new limit is one line in LimitValues, the type of what policy.yaml allows, and one entry in LIMITS: what it is about, how its value is
 * read from policy.yaml, what holds when policy.yaml says nothing (for a runtime with a kernel of its own, and for one that shares the
 * host's), how people read it, and which places of a spec ask for more. Reading, provenance, runtime classes, refusals and the docs follow.
 */

import * as z from "zod";
import type { Isolation } from "../bundle/baseline.ts";
import { type Capability, defaultCapabilitiesOf } from "../bundle/capabilities.ts";
import { cleanPath, hostPathFault, liesBelow } from "../bundle/destinations.ts";
import { volumeKind } from "../bundle/mounts.ts";
import { MAX_ID, type OciUser } from "../bundle/oci.ts";
import { effectiveSecurity, securityField } from "../bundle/security.ts";
import { SAFE_SYSCTLS } from "../bundle/sysctls.ts";
import type { AppArmorProfile, SandboxSpec, SeccompProfile } from "../sandbox/spec.ts";
import { BASELINE_CAPABILITIES } from "./baseline.ts";
import { either } from "./control.ts";
import { capability, id } from "./fields.ts";
import { matchesPattern } from "./pattern.ts";

export interface IdRange {
  readonly min: number;
  readonly max: number;
}

/** What each limit allows, as policy.yaml has it. */
export interface LimitValues {
  readonly capabilities: readonly (Capability | "ALL")[];
  readonly userIds: readonly IdRange[];
  readonly groupIds: readonly IdRange[];
  readonly runtimeClasses: readonly string[];
  readonly registries: readonly string[];
  readonly seccompProfiles: readonly string[];
  readonly appArmorProfiles: readonly string[];
  readonly allowPrivilegeEscalation: boolean;
  readonly privileged: boolean;
  readonly procMount: readonly ("Default" | "Unmasked")[];
  readonly sysctls: readonly string[];
  readonly devices: readonly string[];
  readonly volumes: readonly string[];
  readonly hostPaths: readonly AllowedHostPath[];
}

/** A path of the node that volumes may show, with all below it. */
export interface AllowedHostPath {
  /** Absolute and clean. */
  readonly path: string;
  /** Whether every mount of it must be read-only. */
  readonly readOnly: boolean;
}

export type LimitName = keyof LimitValues;

/** What policy needs to know of a runtime class. */
export interface PolicyClass {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly isolation: Isolation;
}

/** What is held against a limit. */
export interface Asked {
  /** With the node's defaults. */
  readonly spec: SandboxSpec;
  readonly runtimeClass: PolicyClass;
  /** What each container runs as, by name; undefined while the images are not known. */
  readonly users: ReadonlyMap<string, OciUser> | undefined;
}

/** A place that asks for more than is allowed. */
export interface Excess {
  readonly field: string;
  readonly value: unknown;
  /** Who says so when the spec does not. */
  readonly by?: string;
}

interface Limit<Value> {
  /** What it is about, for the docs. */
  readonly about: string;
  readonly schema: z.ZodType<Value>;
  /** What holds when policy.yaml says nothing. */
  readonly builtIn: Readonly<Record<Isolation, Value>>;
  /** What is allowed, for people. */
  readonly allowed: (value: Value) => string;
  readonly exceeding: (asked: Asked, value: Value) => Excess[];
}

const idRanges = z.array(
  z
    .strictObject({ min: id, max: id })
    .refine(({ min, max }) => min <= max, { error: "has a min above its max", params: { allowed: "min ≤ max" } }),
);
const ANY_ID: readonly IdRange[] = [{ min: 0, max: MAX_ID }];

/** Texts in which * stands for anything. */
const patterns = z.array(z.string().min(1, { error: "is empty" }));
const ANYTHING: readonly string[] = ["*"];

const HOST_PATH = "a path below /, without '..', and not in /proc and /sys";
const hostPath = z
  .string()
  .refine((path) => path.startsWith("/") && !path.split("/").includes("..") && hostPathFault(cleanPath(path)) === undefined, {
    error: "is not a path that a hostPath may have",
    params: { allowed: HOST_PATH },
  })
  .transform(cleanPath);

const profilePatterns = (kind: string, local: string) =>
  z.array(
    z.string().refine((text) => /^(\*|RuntimeDefault|Unconfined|Localhost\/.+)$/s.test(text), {
      error: `is not ${kind} profile`,
      params: { allowed: `RuntimeDefault, Unconfined, Localhost/${local} where * in ${local} stands for anything, or * for all` },
    }),
  );
/** Not Unconfined, which says that a default is not wanted. */
const CONFINED: readonly string[] = ["RuntimeDefault", "Localhost/*"];

/** The same under every runtime. */
function everywhere<Value>(value: Value): Readonly<Record<Isolation, Value>> {
  return { "own-kernel": value, "shared-kernel": value };
}

const listed = (values: readonly string[]): string => (values.length === 0 ? "none" : either(...values));
const rangesText = (ranges: readonly IdRange[]): string =>
  listed(ranges.map(({ min, max }) => (min === max ? `${min}` : `${min} to ${max}`)));
const isIn = (ranges: readonly IdRange[], value: number): boolean => ranges.some(({ min, max }) => min <= value && value <= max);
const matchesAny = (allowed: readonly string[], text: string): boolean => allowed.some((pattern) => matchesPattern(pattern, text));
const shortName = (name: string): string => name.replace(/^CAP_/, "");

export const LIMITS: { readonly [Name in LimitName]: Limit<LimitValues[Name]> } = {
  capabilities: {
    about: "what `capabilities.add` may name; what every container has by default may always be named",
    schema: z.array(capability),
    builtIn: { "own-kernel": ["ALL"], "shared-kernel": BASELINE_CAPABILITIES },
    allowed: (names) => listed(names.map(shortName)),
    exceeding: ({ spec }, allowed) =>
      ofEach(spec.containers, ({ securityContext }, index) => {
        const given = defaultCapabilitiesOf(securityContext.capabilities);
        return ofEach(securityContext.capabilities.add, (name, position) => {
          const isAllowed = allowed.includes("ALL") || allowed.includes(name) || given.includes(name as Capability);
          return isAllowed
            ? []
            : [{ field: `spec.containers[${index}].securityContext.capabilities.add[${position}]`, value: shortName(name) }];
        });
      }),
  },
  userIds: {
    about: "the user that a container runs as, also when the image gives it",
    schema: idRanges,
    builtIn: everywhere(ANY_ID),
    allowed: rangesText,
    exceeding: ({ spec, users }, allowed) =>
      ofEach(spec.containers, (container, index) => {
        const asked = effectiveSecurity(spec, container).runAsUser;
        const uid = asked ?? users?.get(container.name)?.uid;
        if (uid === undefined || isIn(allowed, uid)) return [];
        return [{ field: securityField(spec, index, "runAsUser"), value: uid, ...(asked === undefined ? { by: "the image's user" } : {}) }];
      }),
  },
  groupIds: {
    about: "the groups that a container runs with, also those that the image gives it",
    schema: idRanges,
    builtIn: everywhere(ANY_ID),
    allowed: rangesText,
    exceeding: ({ spec, users }, allowed) => [
      ...ofEach(spec.securityContext.supplementalGroups, (gid, position) =>
        isIn(allowed, gid) ? [] : [{ field: `spec.securityContext.supplementalGroups[${position}]`, value: gid }],
      ),
      ...ofEach(spec.containers, (container, index) => {
        const asked = effectiveSecurity(spec, container).runAsGroup;
        const user = users?.get(container.name);
        const field = securityField(spec, index, "runAsGroup");
        const gid = asked ?? user?.gid;
        const further = (user?.additionalGids ?? []).filter(
          (group) => group !== gid && !spec.securityContext.supplementalGroups.includes(group),
        );
        return [
          ...(gid === undefined || isIn(allowed, gid)
            ? []
            : [{ field, value: gid, ...(asked === undefined ? { by: "the group of the user in the image" } : {}) }]),
          ...further
            .filter((group) => !isIn(allowed, group))
            .map((group) => ({
              field: `spec.containers[${index}].image`,
              value: group,
              by: "a group of the user in the image's /etc/group",
            })),
        ];
      }),
    ],
  },
  runtimeClasses: {
    about: "the runtime classes that a sandbox may be in, by name or alias",
    schema: patterns,
    builtIn: everywhere(ANYTHING),
    allowed: listed,
    exceeding: ({ runtimeClass: { name, aliases } }, allowed) =>
      [name, ...aliases].some((known) => matchesAny(allowed, known)) ? [] : [{ field: "spec.runtimeClassName", value: name }],
  },
  registries: {
    about: "where images come from: patterns of their references",
    schema: patterns,
    builtIn: everywhere(ANYTHING),
    allowed: listed,
    exceeding: ({ spec }, allowed) => [
      ...ofEach(spec.containers, ({ image }, index) =>
        matchesAny(allowed, image) ? [] : [{ field: `spec.containers[${index}].image`, value: image }],
      ),
      ...ofEach(spec.volumes, ({ image }, index) =>
        !image || matchesAny(allowed, image.reference) ? [] : [{ field: `spec.volumes[${index}].image.reference`, value: image.reference }],
      ),
    ],
  },
  seccompProfiles: {
    about: "the seccomp profiles that a spec may name",
    schema: profilePatterns("a seccomp", "PATH"),
    builtIn: everywhere(CONFINED),
    allowed: listed,
    exceeding: ({ spec }, allowed) => profilesBeyond(spec, "seccompProfile", allowed),
  },
  appArmorProfiles: {
    about: "the AppArmor profiles that a spec may name",
    schema: profilePatterns("an AppArmor", "NAME"),
    builtIn: everywhere(CONFINED),
    allowed: listed,
    exceeding: ({ spec }, allowed) => profilesBeyond(spec, "appArmorProfile", allowed),
  },
  allowPrivilegeEscalation: {
    about:
      "whether a program may gain privileges, as setuid programs do; false: every container under a runtime that shares the host's kernel must say `false`, as it is allowed where nothing is said, and under one with its own none may say `true`",
    schema: z.boolean(),
    builtIn: everywhere(true),
    allowed: (may) => (may ? "true or false" : "false"),
    exceeding: ({ spec, runtimeClass }, may) =>
      ofEach(spec.containers, ({ securityContext: { allowPrivilegeEscalation } }, index) => {
        const escalates = allowPrivilegeEscalation ?? runtimeClass.isolation === "shared-kernel";
        if (may || !escalates) return [];
        return [{ field: `spec.containers[${index}].securityContext.allowPrivilegeEscalation`, value: allowPrivilegeEscalation }];
      }),
  },
  privileged: {
    about: "whether a container may be privileged, which is every capability, whatever `capabilities` says",
    schema: z.boolean(),
    builtIn: everywhere(false),
    allowed: (may) => (may ? "true or false" : "false"),
    exceeding: ({ spec }, may) =>
      ofEach(spec.containers, ({ securityContext: { privileged } }, index) =>
        may || privileged !== true ? [] : [{ field: `spec.containers[${index}].securityContext.privileged`, value: true }],
      ),
  },
  procMount: {
    about: "what `procMount` may say; a runtime that shares the host's kernel never gives Unmasked, whatever stands here",
    schema: z.array(z.enum(["Default", "Unmasked"])),
    builtIn: { "own-kernel": ["Default", "Unmasked"], "shared-kernel": ["Default"] },
    allowed: listed,
    exceeding: ({ spec }, allowed) =>
      ofEach(spec.containers, ({ securityContext: { procMount } }, index) =>
        procMount === undefined || allowed.includes(procMount)
          ? []
          : [{ field: `spec.containers[${index}].securityContext.procMount`, value: procMount }],
      ),
  },
  sysctls: {
    about: "the kernel settings of a sandbox's own namespaces that `sysctls` may name beside the safe ones",
    schema: patterns,
    builtIn: everywhere([]),
    allowed: (names) => `${names.length === 0 ? "" : `${names.join(", ")} or `}the safe ones`,
    exceeding: ({ spec }, allowed) =>
      ofEach(spec.securityContext.sysctls, ({ name }, index) =>
        SAFE_SYSCTLS.includes(name) || matchesAny(allowed, name)
          ? []
          : [{ field: `spec.securityContext.sysctls[${index}].name`, value: name }],
      ),
  },
  devices: {
    about: "the host's devices that a container may have, by their path on the host",
    schema: patterns,
    builtIn: everywhere([]),
    allowed: listed,
    exceeding: ({ spec }, allowed) =>
      ofEach(spec.containers, ({ devices }, index) =>
        ofEach(devices, ({ path }, position) =>
          matchesAny(allowed, path) ? [] : [{ field: `spec.containers[${index}].devices[${position}].path`, value: path }],
        ),
      ),
  },
  volumes: {
    about: "the kinds of volume that a sandbox may have",
    schema: z.array(z.enum(["emptyDir", "tmpfs", "image", "hostPath"], { error: "is not a kind of volume" })),
    builtIn: everywhere(["emptyDir", "tmpfs", "image"]),
    allowed: listed,
    exceeding: ({ spec }, allowed) =>
      ofEach(spec.volumes, (volume, index) => {
        const kind = volumeKind(volume);
        return allowed.includes(kind) ? [] : [{ field: `spec.volumes[${index}].${kind}`, value: kind }];
      }),
  },
  hostPaths: {
    about:
      "the files and folders of the host, each with all below it, that a `hostPath` may show where `volumes` allows that kind: `path`, and `readOnly` for what every mount must say `readOnly: true` of; held against the path itself and against where its symbolic links lead",
    schema: z.array(z.strictObject({ path: hostPath, readOnly: z.boolean().prefault(false) })),
    builtIn: everywhere([]),
    allowed: (paths) => listed(paths.map(({ path, readOnly }) => `${path}${readOnly ? " (read-only)" : ""}`)),
    exceeding: ({ spec }, allowed) =>
      ofEach(spec.volumes, ({ name, hostPath: asked }, index) => {
        if (!asked) return [];
        const covering = allowed.filter(({ path }) => asked.path === path || liesBelow(asked.path, path));
        if (covering.length === 0) return [{ field: `spec.volumes[${index}].hostPath.path`, value: asked.path }];
        return covering.every(({ readOnly }) => readOnly) ? writableMounts(spec, name) : [];
      }),
  },
};

/** In the order of the docs. */
export const LIMIT_NAMES = Object.keys(LIMITS) as LimitName[];

/** Those that hold what comes of the image too. */
export const LIMITS_OF_IMAGES = ["userIds", "groupIds"] as const satisfies readonly LimitName[];

/** Whether the ranges let nothing out. */
export function isEveryId(ranges: readonly IdRange[]): boolean {
  return ranges.some(({ min, max }) => min === 0 && max === MAX_ID);
}

function ofEach<Entry>(entries: readonly Entry[], look: (entry: Entry, index: number) => Excess[]): Excess[] {
  return entries.flatMap(look);
}

/** Mounts of a volume that are not read-only. */
function writableMounts({ containers }: SandboxSpec, volume: string): Excess[] {
  return ofEach(containers, ({ volumeMounts }, index) =>
    ofEach(volumeMounts, ({ name, readOnly }, position) =>
      name !== volume || readOnly ? [] : [{ field: `spec.containers[${index}].volumeMounts[${position}].readOnly`, value: false }],
    ),
  );
}

/** Profiles of the sandbox and of its containers that no pattern matches. */
function profilesBeyond(spec: SandboxSpec, field: "seccompProfile" | "appArmorProfile", allowed: readonly string[]): Excess[] {
  const excess = (path: string, profile: SeccompProfile | AppArmorProfile | undefined): Excess[] => {
    const text = profile?.type === "Localhost" ? `Localhost/${profile.localhostProfile}` : profile?.type;
    return text === undefined || matchesAny(allowed, text) ? [] : [{ field: `${path}.securityContext.${field}`, value: text }];
  };
  return [
    ...excess("spec", spec.securityContext[field]),
    ...ofEach(spec.containers, ({ securityContext }, index) => excess(`spec.containers[${index}]`, securityContext[field])),
  ];
}
