/** policy.yaml of this node: read at start, and again when asked to. A file that is wrong changes nothing. */

import { existsSync, readFileSync, statSync } from "node:fs";
import type { BerthConfig } from "./config.ts";
import { BerthError, toBerthError } from "./errors.ts";
import { BUILT_IN_POLICY, type NodePolicy } from "./policy/policy.ts";
import { policyClasses } from "./sandbox/admit.ts";
import type { Log } from "./sandbox/rooms.ts";
import { parseSandboxRequest } from "./sandbox/spec.ts";

const DEFAULT_POLICY_FILE = "/etc/berth/policy.yaml";

/** More than any policy that can be parsed. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Reads a policy for the node of this config. Throws InvalidRequest naming every wrong field and its line. */
export async function loadPolicy(file: string, config: BerthConfig): Promise<NodePolicy> {
  const { parsePolicy } = await import("./policy/node-policy.ts");
  const containers = [{ name: "nothing", image: "oci:/nothing" }];
  const nothing = parseSandboxRequest({ metadata: { name: "nothing" }, spec: { containers } });
  return parsePolicy(readPolicy(file), file, { classes: policyClasses(config), nothing });
}

function readPolicy(file: string): string {
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw new Error("it is not a file");
    if (stat.size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    throw new BerthError("InvalidRequest", `cannot read the policy ${file}: ${toBerthError(error).message}`);
  }
}

/** The policy that holds now. */
export class PolicyFile {
  readonly #file: string | undefined;
  readonly #config: BerthConfig;
  #current: NodePolicy = BUILT_IN_POLICY;

  private constructor(file: string | undefined, config: BerthConfig) {
    this.#file = file;
    this.#config = config;
  }

  /** Without a file: the default one where it exists, else what is built in. Throws InvalidRequest when it is wrong. */
  static async open(file: string | undefined, config: BerthConfig): Promise<PolicyFile> {
    const policy = new PolicyFile(file, config);
    await policy.#load();
    return policy;
  }

  get current(): NodePolicy {
    return this.#current;
  }

  /** Takes the file as it is now for all that is asked from now on; a wrong one is told to the log, and what held holds on. */
  async reload(log: Log): Promise<void> {
    try {
      const file = await this.#load();
      log.info(
        { file, level: this.#current.level },
        file === undefined ? "no policy file: the built-in policy holds" : "the policy was read again",
      );
    } catch (error) {
      const { message, detail } = toBerthError(error);
      log.error({ violations: detail.violations }, `the policy stays as it was: ${message}`);
    }
  }

  async #load(): Promise<string | undefined> {
    const file = this.#file ?? (existsSync(DEFAULT_POLICY_FILE) ? DEFAULT_POLICY_FILE : undefined);
    this.#current = file === undefined ? BUILT_IN_POLICY : await loadPolicy(file, this.#config);
    return file;
  }
}
