/** YAML text to plain values, with the line of each. JSON is YAML; what JSON cannot say (other tags, keys that are no text) is refused. Pure. */

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, visit } from "yaml";
import { BerthError, invalidRequest, show, type Violation } from "./errors.ts";

/** Far more than any file that people write. */
const MAX_CHARACTERS = 1024 * 1024;
/** Each use of an alias costs; a document that repeats itself this often is an attack. */
const MAX_ALIASES = 100;
/** The tags of YAML's core schema, all that JSON can say. */
const CORE_TAGS = new Set(["null", "bool", "int", "float", "str", "seq", "map"].map((name) => `tag:yaml.org,2002:${name}`));

export interface YamlValue {
  /** Undefined when the text says nothing at all. */
  readonly value: unknown;
  /** Line of the key or entry at the path, from 1; of what is around it where the text has no such place. */
  readonly lineOf: (path: readonly PropertyKey[]) => number;
}

/** Throws InvalidRequest; faults of the syntax stand at FILENAME:LINE:COLUMN. */
export function readYaml(text: string, filename: string): YamlValue {
  if (text.length > MAX_CHARACTERS) {
    throw refusal(filename, "is too long", `${text.length} characters`, `at most ${MAX_CHARACTERS}`);
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
    if (document === undefined) return { value: undefined, lineOf: () => 1 };
    if (second !== undefined) throw refusal(at(second.range[0]), "begins a second document", "---", "one document in a file");
    const violations = [...syntaxViolations(document, at, text), ...meaningViolations(document, at, text)];
    if (violations.length > 0) throw invalidRequest(violations);
    const lineOf = (path: readonly PropertyKey[]): number => lines.linePos(offsetOf(document, path)).line;
    return { value: document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown, lineOf };
  } catch (error) {
    if (error instanceof BerthError) throw error;
    // The parser's own limits: nesting that no file has, aliases without end.
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

/** Where the key or entry at the path begins, or what is around it. */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? 0;
  for (const step of path) {
    const inner = isAlias(node) ? node.resolve(document) : node;
    const pair = isMap(inner) ? inner.items.find(({ key }) => isScalar(key) && key.value === step) : undefined;
    const place = pair ? pair.key : isSeq(inner) ? inner.items[Number(step)] : undefined;
    const start = (place as Node | undefined)?.range?.[0];
    if (start === undefined) break;
    offset = start;
    node = pair ? pair.value : place;
  }
  return offset;
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
