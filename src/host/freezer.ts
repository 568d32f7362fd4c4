/** Freezing the processes of a control group: v1 has a hierarchy for it, v2 a file in each group. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Hierarchy } from "./cgroup-mounts.ts";

/** One group's freezer. Both calls mind nothing when the group is not there. */
export class Freezer {
  readonly #dir: string;
  readonly #v1: boolean;

  /** Where both are, v1's is the one in use: runtimes keep their containers out of the v2 tree then. Errors: when the node has neither. */
  constructor(hierarchies: readonly Hierarchy[], path: string) {
    const v1 = hierarchies.find(({ controllers }) => controllers.includes("freezer"));
    const used = v1 ?? hierarchies.find(({ version }) => version === 2);
    if (!used) throw new Error("this node has no cgroup hierarchy that can freeze processes");
    this.#dir = join(used.mountPoint, path);
    this.#v1 = used === v1;
  }

  /** Asks for it, and says whether every process stands still by now. */
  freeze(): boolean {
    if (!existsSync(this.#dir)) return true;
    this.#write("FROZEN", "1");
    const frozen = this.#v1 ? /^FROZEN/ : /^frozen 1$/m;
    return frozen.test(readFileSync(join(this.#dir, this.#v1 ? "freezer.state" : "cgroup.events"), "utf8"));
  }

  thaw(): void {
    if (existsSync(this.#dir)) this.#write("THAWED", "0");
  }

  #write(v1: string, v2: string): void {
    writeFileSync(join(this.#dir, this.#v1 ? "freezer.state" : "cgroup.freeze"), this.#v1 ? v1 : v2);
  }
}
