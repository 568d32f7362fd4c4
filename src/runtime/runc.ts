/** runc, and every runtime with its command line. */

import { runtimeLog, runVerb, tryVerb } from "./oci-cli.ts";
import type { ResolvedRuntime, Runtime, RuntimeContainer } from "./runtime.ts";

export class Runc implements Runtime {
  readonly #runtime: ResolvedRuntime;

  constructor(runtime: ResolvedRuntime) {
    this.#runtime = runtime;
  }

  createCommand(container: RuntimeContainer): string[] {
    return this.command(container);
  }

  async start(container: RuntimeContainer): Promise<void> {
    await runVerb(this.command(container), ["start", container.id], container);
  }

  async signal(container: RuntimeContainer, signal: number): Promise<void> {
    // Fails when the process has ended, which is what the caller wants in the end; the exit file tells.
    await tryVerb(this.command(container), ["kill", container.id, String(signal)], container);
  }

  async delete(container: RuntimeContainer): Promise<void> {
    await runVerb(this.command(container), ["delete", "--force", container.id], container);
  }

  protected command(container: RuntimeContainer): string[] {
    const { binary, flags } = this.#runtime;
    return [binary, "--root", container.root, "--log", runtimeLog(container), "--log-format", "json", ...flags];
  }
}
