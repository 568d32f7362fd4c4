/** The one type of a request, and the one way to it: wire messages and files both pass parseSandboxRequest. Pure. */

import { z } from "zod";
import { type Capability, type CapabilityRequest, finalCapabilities, normalizeCapability } from "../bundle/capabilities.ts";
import { invalidRequest } from "../errors.ts";
import { parseReference } from "../image/reference.ts";
import { violationsOf } from "./violations.ts";

export interface EnvVar {
  readonly name: string;
  readonly value: string;
}

export interface SecurityContext {
  readonly capabilities: CapabilityRequest;
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env: readonly EnvVar[];
  /** Empty: the image's. */
  readonly workingDir: string;
  readonly securityContext: SecurityContext;
}

export interface SandboxSpec {
  /** Empty: the node's default class. */
  readonly runtimeClassName: string;
  readonly containers: readonly ContainerSpec[];
}

export interface SandboxMetadata {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** A request that keeps every rule which needs no look at the node. */
export interface SandboxRequest {
  readonly metadata: SandboxMetadata;
  readonly spec: SandboxSpec;
}

/** Parses {metadata, spec}. Throws InvalidRequest with every violation and its field path. */
export function parseSandboxRequest(input: unknown): SandboxRequest {
  const parsed = sandboxSchema.safeParse(input, { reportInput: true });
  if (!parsed.success) throw invalidRequest(violationsOf(parsed.error, input));
  return parsed.data;
}

/** Highest user and group id: runtimes read larger ones as root or as nobody (measured; crun runs 4294967295 as root). */
const MAX_ID = 2_147_483_647;
const MAX_CONTAINERS = 64;

/** A refinement whose message is the rule and whose allowed text travels in params. */
function rule(test: (value: string) => boolean, message: string, allowed: string): (text: z.ZodString) => z.ZodString {
  return (text) => text.refine(test, { error: message, params: { allowed } });
}

const noNul = rule((text) => !text.includes("\0"), "contains a NUL character", "text without NUL");
const text = noNul(z.string());
const dnsLabel = rule(
  (name) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name),
  "is not a DNS label",
  "1 to 63 lower-case letters, digits and '-', a letter or digit at both ends",
);

const sandboxName = rule(
  (name) => !/^[0-9a-f]{32}$/.test(name),
  "has the form of an id",
  "a name that is not 32 hex digits",
)(dnsLabel(z.string()));
const containerName = rule((name) => name !== "pause", "is reserved", "any other name: pause is made by berthd")(dnsLabel(z.string()));

const id = z
  .number({ error: "is not a whole number" })
  .refine((value) => Number.isInteger(value), { error: "is not a whole number", params: { allowed: `0 to ${MAX_ID}` }, abort: true })
  .refine((value) => value >= 0 && value <= MAX_ID, { error: "is out of range", params: { allowed: `0 to ${MAX_ID}` } });

const capability = z.string().transform((entry, context) => {
  const name = normalizeCapability(entry);
  if (name !== undefined) return name;
  context.addIssue({
    code: "custom",
    message: "is not a capability of the kernel",
    params: { allowed: "a name of capabilities(7) such as NET_ADMIN, or ALL" },
  });
  return z.NEVER;
});

const singleCapability = capability.transform((name, context): Capability => {
  if (name !== "ALL") return name;
  context.addIssue({ code: "custom", message: "ALL is not a single capability", params: { allowed: "single names, or ambient: auto" } });
  return z.NEVER;
});

/** Blank entries are skipped and repeats dropped, as every engine does. */
function capabilityList<T extends z.ZodType<string, string>>(entry: T) {
  return z.array(z.string()).transform((entries, context) => {
    const names: z.output<T>[] = [];
    for (const [index, text] of entries.entries()) {
      if (text.trim() === "") continue;
      const parsed = entry.safeParse(text);
      if (parsed.success) {
        if (!names.includes(parsed.data)) names.push(parsed.data);
        continue;
      }
      for (const issue of parsed.error.issues)
        context.addIssue({
          code: "custom",
          path: [index],
          input: text,
          message: issue.message,
          params: "params" in issue ? (issue.params ?? {}) : {},
        });
    }
    return names;
  });
}

const capabilities = z
  .strictObject({
    add: capabilityList(capability).prefault([]),
    drop: capabilityList(capability).prefault([]),
    ambient: z
      .union([z.enum(["never", "auto"]), capabilityList(singleCapability)], { error: "is not never, auto or a list of capabilities" })
      .prefault("never"),
  })
  .superRefine((request, context) => {
    if (typeof request.ambient === "string") return;
    const final = finalCapabilities(request);
    for (const [index, name] of request.ambient.entries()) {
      if (final.includes(name)) continue;
      const allowed = final.join(", ") || "nothing: the set is empty";
      context.addIssue({
        code: "custom",
        path: ["ambient", index],
        input: name,
        message: "is not in the container's final set",
        params: { allowed },
      });
    }
  });

const securityContext = z.strictObject({
  capabilities: capabilities.prefault({}),
  runAsUser: id.optional(),
  runAsGroup: id.optional(),
});

const envName = rule((name) => name !== "" && !name.includes("="), "is empty or contains '='", "a name without '='")(text);
const envVar = z.strictObject({ name: envName, value: text.prefault("") });

const workingDir = rule(
  (path) => path === "" || path.startsWith("/"),
  "is not absolute",
  "a path that starts with '/'",
)(rule((path) => !/^\/+proc(\/|$)/.test(cleanPath(path)), "lies under /proc (CVE-2024-21626)", "a path outside /proc")(text));

const image = text.superRefine((reference, context) => {
  const parsed = parseReference(reference);
  if (typeof parsed === "string")
    context.addIssue({ code: "custom", message: parsed, params: { allowed: "oci:PATH[:TAG] with an absolute path" } });
});

const container = z.strictObject({
  name: containerName,
  image,
  command: z.array(text).prefault([]),
  args: z.array(text).prefault([]),
  env: z.array(envVar).prefault([]),
  workingDir: workingDir.prefault(""),
  securityContext: securityContext.prefault({}),
});

const containers = z
  .array(container)
  .min(1, { error: "is empty" })
  .max(MAX_CONTAINERS, { error: `has more than ${MAX_CONTAINERS} entries` })
  .superRefine((list, context) => {
    for (const [index, entry] of list.entries()) {
      if (list.findIndex((other) => other.name === entry.name) === index) continue;
      const message = "is used by another container of the sandbox";
      context.addIssue({ code: "custom", path: [index, "name"], input: entry.name, message, params: { allowed: "a name of its own" } });
    }
  });

/** Kubernetes' label syntax: [prefix/]name, value at most 63 characters. */
const labelName = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const labels = z.record(z.string(), z.string()).superRefine((entries, context) => {
  for (const [key, value] of Object.entries(entries)) {
    const allowed = "Kubernetes' label syntax: letters, digits, '-', '_' and '.', at most 63 characters";
    if (!labelName.test(key))
      context.addIssue({ code: "custom", path: [key], input: key, message: "is not a label key", params: { allowed } });
    if (!labelValue.test(value))
      context.addIssue({ code: "custom", path: [key], input: value, message: "is not a label value", params: { allowed } });
  }
});

const sandboxSchema = z.strictObject({
  metadata: z.strictObject({
    namespace: dnsLabel(z.string()).prefault("default"),
    name: sandboxName,
    labels: labels.prefault({}),
  }),
  spec: z.strictObject({
    runtimeClassName: rule(
      (name) => name === "" || /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/.test(name),
      "is not a class name",
      "a DNS label",
    )(z.string()).prefault(""),
    containers,
  }),
});

/** Cleans an absolute path as path.posix.normalize does, without a trailing slash. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
