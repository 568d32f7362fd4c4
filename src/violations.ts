import type * as z from "zod";
import { show, type Violation } from "./errors.ts";

/** Turns zod's issues into violations that name field, rule, value and way out. `input` is what was parsed. */
export function violationsOf(error: z.ZodError, input: unknown): Violation[] {
  return error.issues.flatMap((issue) => fromIssue(issue, input));
}

function fromIssue(issue: z.core.$ZodIssue, input: unknown): Violation[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({
      field: fieldPath([...issue.path, key]),
      rule: "is not a field that berth knows",
      value: show(valueAt(input, [...issue.path, key])),
      allowed: "leave it out",
    }));
  }
  if (issue.code === "invalid_union") {
    // The longest branch tells most: a list that was nearly right beats "not a word of the enum".
    const branch = issue.errors.toSorted((a, b) => (b[0]?.path.length ?? 0) - (a[0]?.path.length ?? 0))[0] ?? [];
    const nested = branch.filter((inner) => inner.path.length > 0);
    if (nested.length > 0) return nested.flatMap((inner) => fromIssue({ ...inner, path: [...issue.path, ...inner.path] }, input));
  }
  // A rule over keys or several fields names the value that it is about, which need not stand at its path.
  const value = issue.code === "custom" && issue.input !== undefined ? issue.input : valueAt(input, issue.path);
  const missing = value === undefined;
  return [
    {
      field: fieldPath(issue.path),
      rule: missing ? "is required" : issue.message,
      value: missing ? "nothing" : show(value),
      allowed: allowedOf(issue),
    },
  ];
}

function allowedOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "custom":
      return typeof issue.params?.["allowed"] === "string" ? issue.params["allowed"] : "";
    case "invalid_type":
      return issue.expected === "number" ? "a whole number, not quoted" : `a value of type ${issue.expected}`;
    case "too_small":
      return `at least ${issue.minimum}`;
    case "too_big":
      return `at most ${issue.maximum}`;
    case "invalid_union":
      return issue.errors
        .flat()
        .map(allowedOf)
        .filter((text) => text !== "")
        .join(", or ");
    case "invalid_value":
      return issue.values.map(String).join(", ");
    default:
      return "";
  }
}

/** spec.containers[0].name */
export function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`),
    "",
  );
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined),
    input,
  );
}
