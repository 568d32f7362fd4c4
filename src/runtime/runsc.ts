/** gVisor's runsc. A sandbox is one process; its apps are started into it and their exit codes are kept by it. */

import { closeSync, constants, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError } from "../errors.ts";
import { isAlive } from "../host/processes.ts";
import { readIfThere, waitUntil } from "../monitor/conmon.ts";
import { COMMAND_TIMEOUT_MS, runtimeFailure, runtimeLog, runVerb, tryVerb } from "./oci-cli.ts";
import { waitOverControlSocket } from "./runsc-control.ts";
import type { ExecFiles, ResolvedRuntime, Runtime, RuntimeContainer } from "./runtime.ts";

const APP_RUNTIME = fileURLToPath(new URL("./runsc-app.sh", import.meta.url));

/** What holds for a whole sandbox and is set when pause is created. */
export interface RunscSandbox {
  readonly id: string;
  /** Some container has CAP_NET_RAW, which runsc takes away without the flag. */
  readonly rawSockets: boolean;
  /** Some container asks for allowPrivilegeEscalation: true. */
  readonly setuid: boolean;
  /** Some container has a seccomp profile, which runsc ignores without the flag. */
  readonly seccomp: boolean;
}

export class Runsc implements Runtime {
  readonly appsNeedPause = true;
  readonly #runtime: ResolvedRuntime;
  readonly #sandbox: RunscSandbox;

  constructor(runtime: ResolvedRuntime, sandbox: RunscSandbox) {
    this.#runtime = runtime;
    this.#sandbox = sandbox;
  }

  createCommand(container: RuntimeContainer): string[] {
    const command = this.#command(container);
    return container.role === "pause" ? command : ["/bin/sh", APP_RUNTIME, container.dir, String(command.length), ...command];
  }

  async start(container: RuntimeContainer): Promise<void> {
    if (container.role === "pause") await runVerb(this.#command(container), ["start", container.id], container);
    else await startBehindGate(container);
  }

  execCommand(container: RuntimeContainer, { process, pid, log }: ExecFiles): string[] {
    return [...this.#command(container, log), "exec", "--process", process, "--internal-pid-file", pid, container.id];
  }

  /** The number is the sandbox's own. */
  async signalExec(container: RuntimeContainer, pid: number, signal: number): Promise<void> {
    await tryVerb(this.#command(container), ["kill", "--pid", String(pid), container.id, String(signal)], container);
  }

  async signal(container: RuntimeContainer, signal: number): Promise<void> {
    // Fails when the process has ended, which is what the caller wants in the end; the wait tells.
    await tryVerb(this.#command(container), ["kill", container.id, String(signal)], container);
  }

  /** The sandbox keeps the code of an app, for everyone who asks, as long as pause lives. */
  async waitExit(container: RuntimeContainer, signal: AbortSignal): Promise<number | undefined> {
    const socket = join(container.root, `runsc-${this.#sandbox.id}.sock`);
    const answer = await waitOverControlSocket(socket, container.id, signal);
    if (answer !== "unavailable" || signal.aborted) return answer === "unavailable" ? undefined : answer;
    const result = await tryVerb(this.#command(container), ["wait", container.id], container, 2 ** 31 - 1);
    return result.exitCode === 0 ? parseWait(result.output) : undefined;
  }

  /** The sandbox has a part of every app that only its own verb removes. */
  async forget(container: RuntimeContainer): Promise<void> {
    await runVerb(this.#command(container), ["delete", "--force", container.id], container);
  }

  async pause(container: RuntimeContainer): Promise<void> {
    await this.#bring(container, "pause", "paused");
  }

  async resume(container: RuntimeContainer): Promise<void> {
    await this.#bring(container, "resume", "running");
  }

  /** runsc refuses a verb that would change nothing: then its state tells. */
  async #bring(container: RuntimeContainer, verb: string, state: string): Promise<void> {
    const result = await tryVerb(this.#command(container), [verb, container.id], container);
    if (result.exitCode === 0 || (await this.#state(container)) === state) return;
    throw runtimeFailure(verb, result.output, container);
  }

  async #state(container: RuntimeContainer): Promise<unknown> {
    const { output } = await runVerb(this.#command(container), ["state", container.id], container);
    return (JSON.parse(output) as { status?: unknown }).status;
  }

  #command(container: RuntimeContainer, log = runtimeLog(container)): string[] {
    const { binary, platform, traits, flags } = this.#runtime;
    return [
      binary,
      `--root=${container.root}`,
      `--log=${log}`,
      "--log-format=json",
      `--platform=${platform}`,
      "--network=none",
      // The root filesystem is an overlay of berthd's own already.
      "--overlay2=none",
      ...(traits.ignoreCgroups ? ["--ignore-cgroups"] : []),
      ...(this.#sandbox.rawSockets ? ["--net-raw"] : []),
      ...(this.#sandbox.setuid && traits.setuid ? ["--allow-suid"] : []),
      ...(this.#sandbox.seccomp ? ["--oci-seccomp"] : []),
      ...flags.filter((flag) => !flag.startsWith("--platform")),
    ];
  }
}

function parseWait(output: string): number | undefined {
  const { exitStatus } = JSON.parse(output) as { exitStatus?: unknown };
  return typeof exitStatus === "number" ? exitStatus : undefined;
}

/** Gives the word to the stand-in of runsc-app.sh and waits for what became of it. */
async function startBehindGate(container: RuntimeContainer): Promise<void> {
  const deadline = Date.now() + COMMAND_TIMEOUT_MS;
  await openGate(container, deadline);
  const code = await waitUntil(container.dir, () => startedCode(container), deadline);
  if (code === undefined) throw new BerthError("RuntimeTimeout", `the runtime's start did not end within ${COMMAND_TIMEOUT_MS} ms`);
  if (code !== 0) throw runtimeFailure("start", "", container);
}

/** Exit code of `runsc start`; undefined until the line is whole. */
function startedCode(container: RuntimeContainer): number | undefined {
  const text = readIfThere(join(container.dir, "started"));
  return text?.endsWith("\n") ? Number(text) : undefined;
}

async function openGate(container: RuntimeContainer, deadline: number): Promise<void> {
  for (;;) {
    try {
      const gate = openSync(join(container.dir, "gate"), constants.O_WRONLY | constants.O_NONBLOCK);
      writeSync(gate, "start\n");
      closeSync(gate);
      return;
    } catch (error) {
      // ENXIO: the stand-in has not come to the gate yet.
      const waiting = error instanceof Error && "code" in error && error.code === "ENXIO";
      if (!waiting) throw error;
      const gone = container.process !== undefined && !isAlive(container.process);
      if (gone || Date.now() > deadline) throw new BerthError("RuntimeFailed", "the process that starts the app is gone");
      await sleep(1);
    }
  }
}
