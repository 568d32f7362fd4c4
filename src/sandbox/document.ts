/** Reads a file that describes a sandbox: a berth Sandbox or a Kubernetes Pod, YAML or JSON. Pure; loads the YAML parser, so import it where a file is read. */

import { invalidRequest, show, type Violation } from "../errors.ts";
import { readYaml } from "../yaml.ts";
import { isObject, readPod } from "./pod.ts";
import type { SandboxRequest } from "./spec.ts";
import { parseTogether } from "./together.ts";

export interface SandboxDocument {
  readonly request: SandboxRequest;
  /** What is different from what the author may expect, for people. */
  readonly warnings: string[];
}

export interface ReadingOptions {
  /** Namespace of a document that names none. */
  readonly namespace?: string | undefined;
}

const KINDS = "kind: Sandbox with apiVersion: berth/v1, or kind: Pod with apiVersion: v1";

/** A file whose syntax and kind are right; what it says may still be wrong. */
export interface OpenedDocument {
  readonly kind: "Sandbox" | "Pod";
  /** As it stands in the file. */
  readonly manifest: Readonly<Record<string, unknown>>;
  /** {metadata, spec} as parseSandboxRequest takes it. */
  readonly sandbox: unknown;
  /** What of a Pod berth refuses before it parses the rest. */
  readonly violations: readonly Violation[];
  readonly warnings: string[];
}

/** Throws InvalidRequest with every violation, paths as in the file; faults of the syntax stand at FILENAME:LINE:COLUMN. */
export function readSandboxDocument(text: string, filename: string, options: ReadingOptions = {}): SandboxDocument {
  const { sandbox, violations, warnings } = openDocument(text, filename, options);
  return { request: parseTogether(sandbox, violations), warnings };
}

/** Throws InvalidRequest when the text is not a document of a kind that berth reads. */
export function openDocument(text: string, filename: string, options: ReadingOptions): OpenedDocument {
  const { value: manifest } = readYaml(text, filename);
  if (manifest === undefined) throw invalidRequest([{ field: filename, rule: "is empty", value: "nothing", allowed: KINDS }]);
  if (!isObject(manifest)) throw invalidRequest([{ field: filename, rule: "is not an object", value: show(manifest), allowed: KINDS }]);
  const { kind, apiVersion } = manifest;
  if (kind === "Sandbox" && apiVersion === "berth/v1") {
    const { kind: _kind, apiVersion: _apiVersion, ...sandbox } = manifest;
    return { kind, manifest, sandbox: withNamespace(sandbox, options.namespace), violations: [], warnings: [] };
  }
  if (kind === "Pod" && apiVersion === "v1") {
    const { document, violations, warnings } = readPod(manifest);
    return { kind, manifest, sandbox: withNamespace(document, options.namespace), violations, warnings };
  }
  throw invalidRequest(kindViolations(kind, apiVersion));
}

function kindViolations(kind: unknown, apiVersion: unknown): Violation[] {
  const violation = (field: string, value: unknown, rule: string): Violation[] => [
    { field, rule: value === undefined ? "is required" : rule, value: value === undefined ? "nothing" : show(value), allowed: KINDS },
  ];
  if (kind === "Sandbox" || kind === "Pod") return violation("apiVersion", apiVersion, `is not the version of a ${kind} that berth reads`);
  return violation("kind", kind, "is not a kind that berth reads");
}

function withNamespace(document: unknown, namespace: string | undefined): unknown {
  if (namespace === undefined || !isObject(document) || !isObject(document["metadata"]) || Object.hasOwn(document["metadata"], "namespace"))
    return document;
  return { ...document, metadata: { namespace, ...document["metadata"] } };
}
