/** conmon, the monitor of every container: outlives berthd, keeps exit code and output. */

import { existsSync, mkdirSync, readFileSync, statfsSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { BerthError } from "../errors.ts";
import { pathOnly } from "../host/command.ts";

import { isAlive, type ProcessIdentity, processIdentity } from "../host/processes.ts";
import { spawnCommand } from "../host/spawn.ts";

const LAUNCHER = fileURLToPath(new URL("./in-cgroup.sh", import.meta.url));
/** Between two looks for a file whose inotify event was missed, and for a monitor that died. */
const LOOK_MS = 1000;

export interface MonitorLaunch {
  readonly containerId: string;
  /** Program and arguments that conmon calls for `create`. */
  readonly runtime: readonly string[];
  readonly bundle: string;
  /** Folder of the container's run-time files. */
  readonly dir: string;
  /** k8s-file log. */
  readonly log: string;
  /** cgroup.procs files that conmon and all it starts are put into. */
  readonly procsFiles: readonly string[];
  readonly timeoutMs: number;
}

export interface Monitored {
  readonly monitor: ProcessIdentity;
  /** The process that conmon watches. */
  readonly process: ProcessIdentity;
}

/**
 * Starts conmon, which calls the runtime's create, and waits for what it reports.
 * Throws RuntimeFailed with conmon's text when create failed, RuntimeTimeout after timeoutMs; nothing is ended then: the caller's undo does.
 */
export async function launchMonitor(launch: MonitorLaunch): Promise<Monitored> {
  mkdirSync(launch.dir, { recursive: true, mode: 0o700 });
  mkdirSync(exitDir(launch.dir), { recursive: true, mode: 0o700 });
  mkdirSync(socketDir(launch.dir), { recursive: true, mode: 0o700 });
  mkdirSync(dirname(launch.log), { recursive: true, mode: 0o700 });
  const deadline = Date.now() + launch.timeoutMs;
  const output = join(launch.dir, "conmon.out");
  const argv = ["/bin/sh", LAUNCHER, join(launch.dir, "sync"), ...launch.procsFiles, "--", ...conmonArgs(launch)];
  const env = { ...pathOnly(), _OCI_SYNCPIPE: "3" };
  const result = await spawnCommand(argv, { timeoutMs: launch.timeoutMs, output, env });
  if (result.exitCode !== 0) throw failure(launch, `conmon ended with ${result.exitCode}`);
  const monitorPid = Number(await waitForText(join(launch.dir, "conmon.pid"), deadline, launch));
  const monitor = processIdentity(monitorPid);
  const report = await waitForText(join(launch.dir, "sync"), deadline, launch, monitor);
  const { data, message } = parseReport(report);
  const container = data > 0 ? processIdentity(data) : undefined;
  if (data <= 0) throw failure(launch, message);
  if (!monitor) throw failure(launch, "conmon ended before the container was created");
  // A container that is gone already has its exit file: the identity is only kept to signal it.
  return { monitor, process: container ?? { pid: data, startTime: 0 } };
}

function conmonArgs(launch: MonitorLaunch): string[] {
  const id = launch.containerId;
  const [runtime = "", ...runtimeArgs] = launch.runtime;
  return [
    "conmon",
    ...["--api-version", "1", "-c", id, "-u", id, "-n", id, "-r", runtime],
    ...runtimeArgs.flatMap((arg) => ["--runtime-arg", arg]),
    ...["-b", launch.bundle, "-p", join(launch.dir, "pid"), "--conmon-pidfile", join(launch.dir, "conmon.pid")],
    ...["--exit-dir", exitDir(launch.dir), "--persist-dir", launch.dir, "--socket-dir-path", socketDir(launch.dir)],
    ...["-l", `k8s-file:${launch.log}`, "--log-level", "error"],
  ];
}

function parseReport(text: string): { data: number; message: string } {
  const report: unknown = JSON.parse(text);
  const { data, message } = report as { data?: unknown; message?: unknown };
  return { data: typeof data === "number" ? data : -1, message: typeof message === "string" ? message : "the runtime's create failed" };
}

function failure(launch: MonitorLaunch, message: string): BerthError {
  // Then nothing had room to say why.
  const full = [launch.dir, dirname(launch.log)].find((dir) => statfsSync(dir).bavail === 0);
  if (full !== undefined) return new BerthError("StorageFull", `the disk that holds ${full} is full: ${message.trim()}`);
  const output = readIfThere(join(launch.dir, "conmon.out"))?.trim();
  return new BerthError("RuntimeFailed", message.trim(), output ? { logTail: output.slice(-2000) } : {});
}

/** Waits until a file holds a whole line. */
async function waitForText(file: string, deadline: number, launch: MonitorLaunch, monitor?: ProcessIdentity): Promise<string> {
  const complete = (): string | undefined => {
    const gone = monitor && !isAlive(monitor);
    const text = readIfThere(file);
    if (text?.trimEnd()) return text;
    if (gone) throw failure(launch, "conmon ended before it reported");
    return undefined;
  };
  const text = await waitUntil(dirname(file), complete, deadline);
  if (text !== undefined) return text;
  const who = monitor ? `conmon (pid ${monitor.pid})` : "conmon";
  throw new BerthError("RuntimeTimeout", `${who} did not report the container's creation within ${launch.timeoutMs} ms`);
}

/** Looks at once, at each change in the folder, and every second; undefined when the deadline (ms since the epoch) passed or the signal fired. */
export async function waitUntil<T>(dir: string, look: () => T | undefined, deadline: number, signal?: AbortSignal): Promise<T | undefined> {
  return await new Promise((resolve, reject) => {
    const check = (): void => {
      try {
        const found = look();
        if (found !== undefined || Date.now() >= deadline || signal?.aborted) finish(found);
      } catch (error) {
        stop();
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    const finish = (found: T | undefined): void => {
      stop();
      resolve(found);
    };
    // Without the folder, as after a reboot, and when it goes away, the timer still looks.
    const watcher = existsSync(dir) ? watch(dir, check) : undefined;
    watcher?.on("error", check);
    const timer = setInterval(check, Math.min(LOOK_MS, Math.max(1, deadline - Date.now())));
    const stop = (): void => {
      watcher?.close();
      clearInterval(timer);
      signal?.removeEventListener("abort", check);
    };
    signal?.addEventListener("abort", check);
    check();
  });
}

/** The exit code that conmon wrote for a container; undefined while there is none. */
export function readExitFile(dir: string, containerId: string): number | undefined {
  const text = readIfThere(join(exitDir(dir), containerId))?.trim();
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

export function readIfThere(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

/** Where conmon writes the exit codes of a sandbox's containers, given the folder of one of them. */
export function exitDir(containerDir: string): string {
  return join(dirname(containerDir), "exits");
}

/** Where conmon links its attach sockets. Not the folder of the containers' own: conmon wants to make its names there. */
function socketDir(containerDir: string): string {
  return join(dirname(containerDir), "k");
}
