/** Learns when a container ended and with what code. */

import { killProcess, isAlive } from "../host/processes.ts";
import { exitDir, readExitFile, waitUntil } from "../monitor/conmon.ts";
import type { Runtime, RuntimeContainer } from "../runtime/runtime.ts";
import type { ContainerRecord } from "./record.ts";

/** For the monitor to write what it has read already. */
const FLUSH_MS = 5_000;

/** The exit code of a container; undefined when nobody can learn it any more; "aborted" when the signal fired first. */
export async function watchExit(
  runtime: Runtime,
  target: RuntimeContainer,
  container: ContainerRecord,
  signal: AbortSignal,
): Promise<number | undefined | "aborted"> {
  const code =
    target.role === "app" && runtime.waitExit
      ? await waitAtRuntime(runtime, target, container, signal)
      : await waitAtMonitor(target, container, Infinity, signal);
  // Nobody can learn how it ends any more, and nobody reads what it writes: it must not live on unseen.
  if (code === undefined && !signal.aborted && container.process) killProcess(container.process, "SIGKILL");
  return signal.aborted && code === undefined ? "aborted" : code;
}

/** The runtime knows the code. Then the monitor's stand-in is ended, and when its exit file is there, the log is whole. */
async function waitAtRuntime(
  runtime: Runtime,
  target: RuntimeContainer,
  container: ContainerRecord,
  signal: AbortSignal,
): Promise<number | undefined> {
  const code = await runtime.waitExit?.(target, signal);
  if (signal.aborted) return undefined;
  if (container.process) killProcess(container.process, "SIGKILL");
  await waitAtMonitor(target, container, Date.now() + FLUSH_MS, signal);
  return code;
}

/** The monitor's exit file; undefined when the monitor is gone without one. */
async function waitAtMonitor(
  target: RuntimeContainer,
  container: ContainerRecord,
  deadline: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const look = (): { code: number | undefined } | undefined => {
    const code = readExitFile(target.dir, container.id);
    if (code !== undefined) return { code };
    if (container.monitor && isAlive(container.monitor)) return undefined;
    // It may have written the file between the two looks.
    return { code: readExitFile(target.dir, container.id) };
  };
  return (await waitUntil(exitDir(target.dir), look, deadline, signal))?.code;
}
