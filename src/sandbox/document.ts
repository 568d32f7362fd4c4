/** Reads a file that describes a sandbox: a berth Sandbox or a Kubernetes Pod, YAML or JSON. Pure; loads the YAML parser, so import it where a file is read. */

import { type Document, isAlias, isScalar, LineCounter, type Node, parseAllDocuments, visit } from "yaml";
import { BerthError, invalidRequest, show, type Violation } from "../errors.ts";
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

/** A sandbox of 64 containers with long environments is far smaller. */
const MAX_CHARACTERS = 1024 * 1024;
/** Each use of an alias costs; a document that repeats itself this often is an attack. */
const MAX_ALIASES = 100;
const KINDS = "kind: Sandbox with apiVersion: berth/v1, or kind: Pod with apiVersion: v1";
/** The tags of YAML's core schema, all that JSON can say. */
const CORE_TAGS = new Set(["null", "bool", "int", "float", "str", "seq", "map"].map((name) => `tag:yaml.org,2002:${name}`));

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
  const manifest = parseText(text, filename);
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

/** Text to plain values. JSON is YAML; what JSON cannot say (other tags, keys that are no text) is refused. */
function parseText(text: string, filename: string): unknown {
  if (text.length > MAX_CHARACTERS) {
    throw invalidRequest([
      { field: filename, rule: "is too long", value: `${text.length} characters`, allowed: `at most ${MAX_CHARACTERS}` },
    ]);
  }
  const lines = new LineCounter();
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${filename}:${line}:${col}`;
  };
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      logLevel: "silent",
      prettyErrors: false,
      stringKeys: true,
      version: "1.2",
    });
    const [document, second] = Array.isArray(documents) ? documents : [];
    if (document === undefined) throw refusal(filename, "is empty", "nothing", KINDS);
    if (second !== undefined) throw refusal(at(second.range[0]), "begins a second document", "---", "one sandbox in a file");
    const violations = [...syntaxViolations(document, at, text), ...meaningViolations(document, at, text)];
    if (violations.length > 0) throw invalidRequest(violations);
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    if (error instanceof BerthError) throw error;
    // The parser's own limits: nesting that no sandbox has, aliases without end.
    throw refusal(
      filename,
      "cannot be read",
      error instanceof Error ? firstLine(error.message) : String(error),
      "a plain YAML or JSON document",
    );
  }
}

type Locate = (offset: number) => string;

function syntaxViolations({ errors, warnings, directives }: Document.Parsed, at: Locate, text: string): Violation[] {
  const violations = [...errors, ...warnings].map(({ message, pos }) => ({
    field: at(pos[0]),
    rule: firstLine(message),
    value: show(lineAt(text, pos[0])),
    allowed: "plain YAML or JSON",
  }));
  if (directives.yaml.version === "1.2") return violations;
  return [
    ...violations,
    { field: at(0), rule: "asks for another YAML", value: `%YAML ${directives.yaml.version}`, allowed: "YAML 1.2, without a directive" },
  ];
}

/** What parses and yet does not mean what its author may think. */
function meaningViolations(document: Document.Parsed, at: Locate, text: string): Violation[] {
  const violations: Violation[] = [];
  const add = (node: Node, rule: string, allowed: string) => {
    const offset = node.range?.[0] ?? 0;
    violations.push({ field: at(offset), rule, value: show(lineAt(text, offset)), allowed });
  };
  visit(document, {
    Node(_key, node) {
      if (!isAlias(node) && node.tag !== undefined && !CORE_TAGS.has(node.tag))
        add(node, `has the tag ${node.tag}`, "plain text, numbers, lists and maps");
      if (isScalar(node) && typeof node.value === "number" && /^[-+]?0\d/.test(node.source ?? "")) {
        add(node, "is a number with a leading zero: octal for some readers, decimal for others", "the number without it, or 0o for octal");
      }
    },
    Pair(_key, { key }) {
      if (isScalar(key) && key.value === "__proto__") add(key, "is not a key that any field has", "leave it out");
    },
  });
  return violations;
}

function refusal(field: string, rule: string, value: string, allowed: string): BerthError {
  return invalidRequest([{ field, rule, value, allowed }]);
}

function firstLine(message: string): string {
  return (message.split("\n", 1)[0] ?? "").slice(0, 200);
}

function lineAt(text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const end = text.indexOf("\n", offset);
  return text.slice(start, end === -1 ? undefined : end).trim();
}
