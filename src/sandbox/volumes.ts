/** Volumes of a sandbox and where its containers mount them. Names and meaning are those of Kubernetes, but for tmpfs. Pure. */

import * as z from "zod";
import { cleanPath, destinationFault, hostPathFault, partsOf } from "../bundle/destinations.ts";
import { parseQuantity } from "./quantity.ts";
import { dnsLabel, imageReference, rule, text } from "./texts.ts";

/** A folder that every container of the sandbox may mount, empty at first and gone with the sandbox. */
export interface EmptyDirVolume {
  /** "" is the node's disk, Memory a tmpfs. */
  readonly medium: "" | "Memory";
  /** Bytes. */
  readonly sizeLimit?: number | undefined;
}

/** A tmpfs of each container's own. Not in Kubernetes. */
export interface TmpfsVolume {
  /** Bytes. */
  readonly sizeLimit?: number | undefined;
  /** 0 to 01777. */
  readonly mode: number;
}

/** What stands at a path of the node, where nothing is made. */
export interface HostPathVolume {
  /** Absolute and clean. */
  readonly path: string;
  /** "" is anything. */
  readonly type: HostPathType;
}

export const HOST_PATH_TYPES = ["", "Directory", "File", "Socket", "CharDevice", "BlockDevice"] as const;
export type HostPathType = (typeof HOST_PATH_TYPES)[number];

/** What is in an image, read-only. */
export interface ImageVolume {
  /** oci:PATH[:TAG]. */
  readonly reference: string;
  /** As images are on the node already, these mean the same. */
  readonly pullPolicy: (typeof PULL_POLICIES)[number];
}

const PULL_POLICIES = ["", "IfNotPresent", "Never"] as const;

/** Exactly one kind is set. */
export interface Volume {
  readonly name: string;
  readonly emptyDir?: EmptyDirVolume | undefined;
  readonly tmpfs?: TmpfsVolume | undefined;
  readonly hostPath?: HostPathVolume | undefined;
  readonly image?: ImageVolume | undefined;
}

export interface VolumeMount {
  /** Of a volume of the sandbox. */
  readonly name: string;
  /** Absolute and clean. */
  readonly mountPath: string;
  readonly readOnly: boolean;
  /** Whether what is mounted below the volume is read-only too. */
  readonly recursiveReadOnly: RecursiveReadOnly;
  /** Which mounts that are made later below the volume are seen on the other side; absent: None. */
  readonly mountPropagation?: MountPropagation | undefined;
}

export const RECURSIVE_READ_ONLY = ["Disabled", "IfPossible", "Enabled"] as const;
export type RecursiveReadOnly = (typeof RECURSIVE_READ_ONLY)[number];

export const MOUNT_PROPAGATION = ["None", "HostToContainer", "Bidirectional"] as const;
export type MountPropagation = (typeof MOUNT_PROPAGATION)[number];

const MAX_VOLUMES = 256;
const MAX_MOUNTS = 256;
/** PATH_MAX and NAME_MAX, in bytes. */
const MAX_PATH = 4095;
const MAX_NAME = 255;
const DEFAULT_TMPFS_MODE = 0o1777;

const size = z.union([z.string(), z.number()], { error: "is not a quantity" }).transform((quantity, context): number => {
  const bytes = parseQuantity(String(quantity));
  if (bytes !== undefined && bytes > 0) return bytes;
  const params = { allowed: "a quantity above 0 such as 64Mi" };
  context.addIssue({ code: "custom", input: quantity, message: "is not a size", params });
  return z.NEVER;
});

const mode = z
  .number({ error: "is not a whole number" })
  .refine((value) => Number.isInteger(value) && value >= 0 && value <= DEFAULT_TMPFS_MODE, {
    error: "is not a mode",
    params: { allowed: `0 to ${DEFAULT_TMPFS_MODE} (0o1777)` },
  });

const absolute = rule((path) => path.startsWith("/"), "is not absolute", "a path that starts with '/'");
const withoutClimbing = rule((path) => !path.split("/").includes(".."), "climbs with '..'", "a path without '..'");
const withoutColon = rule((path) => !path.includes(":"), "contains ':'", "a path without ':'");
const ofKernelsLength = rule(
  (path) => Buffer.byteLength(path) <= MAX_PATH && partsOf(path).every((part) => Buffer.byteLength(part) <= MAX_NAME),
  "is longer than a path can be",
  `at most ${MAX_PATH} bytes, each part at most ${MAX_NAME}`,
);

/** A path in one form, that `faultOf` has nothing against. */
function cleanedPath(path: z.ZodString, faultOf: (clean: string) => string | undefined, allowed: string) {
  return ofKernelsLength(withoutClimbing(absolute(path))).transform((asked, context): string => {
    const clean = cleanPath(asked);
    const fault = asked.startsWith("/") ? faultOf(clean) : undefined;
    if (fault === undefined) return clean;
    context.addIssue({ code: "custom", input: asked, message: fault, params: { allowed } });
    return z.NEVER;
  });
}

/** Kubernetes' types that would make something on the node. */
const MAKING_TYPES = ["DirectoryOrCreate", "FileOrCreate"];

const hostPathType = z.string().transform((type, context): HostPathType => {
  const known = HOST_PATH_TYPES.find((candidate) => candidate === type);
  if (known !== undefined) return known;
  const message = MAKING_TYPES.includes(type) ? "would make something on the node, which berth never does" : "is not a type of host path";
  const params = { allowed: `${HOST_PATH_TYPES.slice(1).join(", ")}, or leave it out` };
  context.addIssue({ code: "custom", input: type, message, params });
  return z.NEVER;
});

const hostPath = cleanedPath(text, hostPathFault, "a path below /, but not in /proc and /sys");

const KINDS = {
  emptyDir: z.strictObject({
    medium: z.enum(["", "Memory"], { error: "is not a medium" }).prefault(""),
    sizeLimit: size.optional(),
  }),
  tmpfs: z.strictObject({ sizeLimit: size.optional(), mode: mode.prefault(DEFAULT_TMPFS_MODE) }),
  hostPath: z.strictObject({ path: hostPath, type: hostPathType.prefault("") }),
  image: z.strictObject({
    reference: imageReference,
    pullPolicy: z.enum(PULL_POLICIES, { error: "is not possible, as berth pulls from no registry yet" }).prefault(""),
  }),
};

const volume = z
  .strictObject({
    name: dnsLabel(z.string()),
    emptyDir: KINDS.emptyDir.optional(),
    tmpfs: KINDS.tmpfs.optional(),
    hostPath: KINDS.hostPath.optional(),
    image: KINDS.image.optional(),
  })
  .superRefine(({ name, ...kinds }, context) => {
    const set = Object.entries(kinds).filter(([, kind]) => kind !== undefined);
    if (set.length === 1) return;
    const message = set.length === 0 ? "has no kind" : `has several kinds: ${set.map(([kind]) => kind).join(" and ")}`;
    const params = { allowed: `one of ${Object.keys(KINDS).join(", ")}` };
    context.addIssue({ code: "custom", input: name, message, params });
  });

const mountPath = cleanedPath(withoutColon(text), destinationFault, "a path below /, but not in /proc, /sys and /dev");

const volumeMount = z
  .strictObject({
    name: z.string(),
    mountPath,
    readOnly: z.boolean().prefault(false),
    recursiveReadOnly: z.enum(RECURSIVE_READ_ONLY, { error: "is not a way to mount read-only" }).prefault("Disabled"),
    mountPropagation: z.enum(MOUNT_PROPAGATION, { error: "is not a way to propagate mounts" }).optional(),
  })
  .superRefine(({ recursiveReadOnly, mountPropagation = "None" }, context) => {
    if (recursiveReadOnly === "Disabled" || mountPropagation === "None") return;
    const params = { allowed: "None beside recursiveReadOnly, or recursiveReadOnly: Disabled" };
    const message = "would let mounts in that are not read-only";
    context.addIssue({ code: "custom", path: ["mountPropagation"], input: mountPropagation, message, params });
  })
  .superRefine(({ readOnly, recursiveReadOnly }, context) => {
    if (readOnly || recursiveReadOnly === "Disabled") return;
    const params = { allowed: "readOnly: true beside it, or Disabled" };
    const message = "is only used with readOnly: true";
    context.addIssue({ code: "custom", path: ["recursiveReadOnly"], input: recursiveReadOnly, message, params });
  });

export const volumes = z.array(volume).max(MAX_VOLUMES, { error: `has more than ${MAX_VOLUMES} entries` });

export const volumeMounts = z
  .array(volumeMount)
  .max(MAX_MOUNTS, { error: `has more than ${MAX_MOUNTS} entries` })
  .superRefine((mounts, context) => {
    const seen = new Set<string>();
    for (const [index, { mountPath: path }] of mounts.entries()) {
      if (!seen.has(path)) {
        seen.add(path);
        continue;
      }
      const params = { allowed: "a path of its own" };
      context.addIssue({ code: "custom", path: [index, "mountPath"], input: path, message: "is used by another mount", params });
    }
  });
