/** runc, and every runtime with its command line. */

import { killProcess } from "../host/processes.ts";
import { runtimeLog, runVerb } from "./oci-cli.ts";
import type { ResolvedRuntime, Runtime, RuntimeContainer } from "./runtime.ts";

export class Runc implements Runtime {
  readonly appsNeedPause = false;
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

  /** What `runc kill` does, without a process for it. */
  async signal({ process }: RuntimeContainer, signal: number): Promise<void> {
    if (process) killProcess(process, signal);
  }

  protected command(container: RuntimeContainer): string[] {
    const { binary, flags } = this.#runtime;
    return [binary, "--root", container.root, "--log", runtimeLog(container), "--log-format", "json", ...flags];
  }
}
