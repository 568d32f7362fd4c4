/** Looks at a file that describes a sandbox and tells all that is wrong with it, each kind of fault apart. Pure; loads the YAML parser. */

import { BerthError, type Violation } from "../errors.ts";
import { sandboxAsPod } from "../policy/levels.ts";
import { type OpenedDocument, openDocument, type ReadingOptions } from "./document.ts";
import { isNotImplemented, isObject } from "./pod.ts";
import { parseSandboxRequest, type SandboxRequest } from "./spec.ts";
import { parseTogether } from "./together.ts";

export interface Examination {
  /** In the shape of a Pod, for admission; undefined when the text is no document of a kind that berth reads. */
  readonly pod: unknown;
  /** What of it berth reads; undefined when that has faults. */
  readonly request: SandboxRequest | undefined;
  /** Wrong for everybody. */
  readonly faults: readonly Violation[];
  /** Right, and yet berth would refuse it: fields and values that it does not implement. */
  readonly notImplemented: readonly Violation[];
  readonly warnings: readonly string[];
}

/** Never throws, whatever the text is. */
export function examineDocument(text: string, filename: string, options: ReadingOptions = {}): Examination {
  const [opened, faults] = attempt(() => openDocument(text, filename, options));
  return opened === undefined ? { pod: undefined, request: undefined, faults, notImplemented: [], warnings: [] } : examineOpened(opened);
}

function examineOpened({ kind, manifest, sandbox, violations, warnings }: OpenedDocument): Examination {
  const [, found] = attempt(() => parseTogether(sandbox, violations));
  const sorted = Map.groupBy(found.map(asRegistryImage), sortOf);
  const unnamed = (sorted.get("name") ?? []).map(({ field, rule, value }) => `${field} ${rule} (found ${value}): run would refuse it`);
  return {
    pod: kind === "Pod" ? manifest : sandboxAsPod(manifest),
    request: sorted.has("fault") ? undefined : lenientRequest(sandbox),
    faults: sorted.get("fault") ?? [],
    notImplemented: sorted.get("not implemented") ?? [],
    warnings: [...warnings, ...unnamed],
  };
}

/** The request as if its name were there and images could come from a registry: neither is a fault here. */
function lenientRequest(sandbox: unknown): SandboxRequest | undefined {
  const { metadata, spec } = isObject(sandbox) ? sandbox : {};
  if (!isObject(spec) || !Array.isArray(spec["containers"])) return undefined;
  const containers = spec["containers"].filter(isObject);
  const local = containers.map((container) => ({ ...container, image: "oci:/any" }));
  const named = { ...(isObject(metadata) ? metadata : {}), name: "template" };
  const [request] = attempt(() => parseSandboxRequest({ metadata: named, spec: { ...spec, containers: local } }));
  if (!request) return undefined;
  const asWritten = request.spec.containers.map((container, index) => ({ ...container, image: String(containers[index]?.["image"]) }));
  return { ...request, spec: { ...request.spec, containers: asWritten } };
}

/** A template may have no name yet, or one that is replaced. */
function sortOf(violation: Violation): "fault" | "not implemented" | "name" {
  if (violation.field === "metadata.name") return "name";
  return isNotImplemented(violation) ? "not implemented" : "fault";
}

/** A name without "oci:" is an image of a registry for everybody else. */
function asRegistryImage(violation: Violation): Violation {
  const isImage = /^spec\.containers\[\d+\]\.image$/.test(violation.field) && /^"[a-z0-9]/.test(violation.value);
  if (!isImage || violation.value.startsWith('"oci:')) return violation;
  return { ...violation, rule: "an image of a registry is not implemented by berth yet" };
}

function attempt<T>(read: () => T): [T | undefined, readonly Violation[]] {
  try {
    return [read(), []];
  } catch (error) {
    if (error instanceof BerthError && error.detail.violations) return [undefined, error.detail.violations];
    throw error;
  }
}
