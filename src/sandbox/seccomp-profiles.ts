/** Seccomp profiles of the node: JSON files in one folder, each in the form of linux.seccomp of the OCI runtime specification. */

import { type OciSeccomp, ociSeccomp, parseExact } from "../bundle/oci.ts";
import { effectiveSecurity, securityField } from "../bundle/security.ts";
import { notOnNode, show, type Violation } from "../errors.ts";
import { FileInRootError, readFileInRoot } from "../host/files.ts";
import type { SandboxSpec } from "./spec.ts";
import { violationsOf } from "../violations.ts";

const MAX_BYTES = 1024 * 1024;

/**
 * The profiles that the containers of a spec name with type Localhost, by name. Symlinks cannot lead out of the folder.
 * Throws NotEnforceable that names field, file and way out when one is missing, too big, not JSON or of another form.
 */
export function readSeccompProfiles(spec: SandboxSpec, dir: string): ReadonlyMap<string, OciSeccomp> {
  const profiles = new Map<string, OciSeccomp>();
  const violations: Violation[] = [];
  for (const [index, container] of spec.containers.entries()) {
    const name = effectiveSecurity(spec, container).seccompProfile?.localhostProfile;
    if (name === undefined || profiles.has(name)) continue;
    const read = readProfile(dir, name);
    if ("fault" in read)
      violations.push({ field: `${securityField(spec, index, "seccompProfile")}.localhostProfile`, value: show(name), ...read.fault });
    else profiles.set(name, read.profile);
  }
  if (violations.length > 0) throw notOnNode(violations);
  return profiles;
}

type Fault = Pick<Violation, "rule" | "allowed">;

function readProfile(dir: string, name: string): { profile: OciSeccomp } | { fault: Fault } {
  const file = `${dir}/${name}`;
  const text = readText(dir, name);
  if (typeof text !== "string") return { fault: text };
  const allowed = `mend ${file}: linux.seccomp of the OCI runtime specification as JSON`;
  let document: unknown;
  try {
    document = parseExact(text);
  } catch (error) {
    return { fault: { rule: `is not JSON (${error instanceof Error ? error.message.slice(0, 100) : String(error)})`, allowed } };
  }
  const parsed = ociSeccomp.safeParse(document, { reportInput: true });
  if (parsed.success) return { profile: parsed.data };
  const faults = violationsOf(parsed.error, document).slice(0, 3);
  const told = faults.map(
    ({ field, rule, value, allowed }) => `${field || "the whole"} ${rule} (found ${value}${allowed === "" ? "" : `; allowed: ${allowed}`})`,
  );
  return { fault: { rule: `is not a seccomp profile: ${told.join("; ")}`, allowed } };
}

/** The text, or why there is none. */
function readText(dir: string, name: string): string | Fault {
  const allowed = `the name of a profile in ${dir} (seccompProfileDir of berth.yaml), a regular file of at most ${MAX_BYTES} bytes`;
  try {
    const content = readFileInRoot(dir, name, { maxBytes: MAX_BYTES });
    if (content) return content.toString("utf8");
    return { rule: `is not in ${dir}, out of which no link leads`, allowed };
  } catch (error) {
    if (error instanceof FileInRootError) return { rule: `cannot be used: ${error.message}`, allowed };
    return { rule: `cannot be read: ${error instanceof Error ? error.message : String(error)}`, allowed };
  }
}
