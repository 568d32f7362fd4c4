/** runc, and every runtime with its command line. */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { killProcess, processIdentity } from "../host/processes.ts";
import { runtimeLog, runVerb } from "./oci-cli.ts";
import type { ExecFiles, ResolvedRuntime, Runtime, RuntimeContainer } from "./runtime.ts";

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

  /** What `runc delete` does besides cgroups, which are the caller's. */
  async forget({ root, id }: RuntimeContainer): Promise<void> {
    rmSync(join(root, id), { recursive: true, force: true });
  }

  execCommand(container: RuntimeContainer, { process, pid, log }: ExecFiles): string[] {
    return [...this.command(container, log), "exec", "--process", process, "--pid-file", pid, container.id];
  }

  /** The number is the host's, and the process's as long as the command that waits for it has not ended. */
  async signalExec(_container: RuntimeContainer, pid: number, signal: number): Promise<void> {
    const process = processIdentity(pid);
    if (process) killProcess(process, signal);
  }

  protected command(container: RuntimeContainer, log = runtimeLog(container)): string[] {
    const { binary, flags } = this.#runtime;
    return [binary, "--root", container.root, "--log", log, "--log-format", "json", ...flags];
  }
}
