import { BerthError, invalidRequest, type Violation } from "../errors.ts";
import { parseSandboxRequest, type SandboxRequest } from "./spec.ts";

/** Parses {metadata, spec}; what was found before and what the parser finds are refused in one answer. */
export function parseTogether(document: unknown, found: readonly Violation[]): SandboxRequest {
  const [request, more] = attempt(document);
  const violations = [...found, ...more];
  if (request === undefined || violations.length > 0) throw invalidRequest(violations);
  return request;
}

function attempt(document: unknown): [SandboxRequest | undefined, readonly Violation[]] {
  try {
    return [parseSandboxRequest(document), []];
  } catch (error) {
    if (error instanceof BerthError && error.detail.violations) return [undefined, error.detail.violations];
    throw error;
  }
}
