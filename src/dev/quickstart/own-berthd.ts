/** A berthd in a folder of its own: a real process whose state, sockets, cgroups and mounts nobody else uses, gone when it is disposed of. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Client, Connection } from "../../api/client.ts";
import { Node } from "../../gen/berth/v1/node_pb.js";
import { Sandboxes } from "../../gen/berth/v1/sandboxes_pb.js";
import { Cgroups } from "../../host/cgroups.ts";
import { listMounts, unmount } from "../../host/mounts.ts";
import { type ProcessIdentity, isAlive, killProcess, processIdentity } from "../../host/processes.ts";
import { NodePaths } from "../../paths.ts";

const BERTHD = fileURLToPath(new URL("../../main.ts", import.meta.url));
const READY_MS = 60_000;
const END_MS = 15_000;
const PAUSE_MS = 10;

export interface OwnBerthdOptions {
  /** Beside the built-in ones; see src/config.ts. */
  readonly runtimeClasses?: readonly object[];
  /** policy.yaml; without it the built-in policy holds. */
  readonly policy?: object;
  /** The program, when it is not the source; such as the bundle that is shipped. */
  readonly program?: string | undefined;
  /** Flags of Node for berthd's process. */
  readonly nodeFlags?: readonly string[];
}

export class OwnBerthd implements AsyncDisposable {
  readonly dir: string;
  readonly paths: NodePaths;
  readonly cgroupRoot: string;
  readonly cgroups = new Cgroups();
  readonly address: string;
  readonly #program: string;
  readonly #nodeFlags: readonly string[];
  readonly #configFile: string;
  readonly #logFile: string;
  readonly #policyFile: string;
  #process: ChildProcess | undefined;
  #connection: Connection | undefined;

  /** Makes the folder; nothing runs yet. */
  constructor(options: OwnBerthdOptions = {}) {
    // Short and not in TMPDIR: the sockets of runsc in RUN must fit into a socket address.
    this.dir = mkdtempSync("/tmp/berth-");
    this.paths = new NodePaths(join(this.dir, "state"), join(this.dir, "run"));
    this.cgroupRoot = `/${basename(this.dir)}`;
    this.address = `unix://${join(this.paths.run, "berthd.sock")}`;
    this.#program = options.program ?? BERTHD;
    this.#nodeFlags = options.nodeFlags ?? [];
    this.#configFile = join(this.dir, "berth.yaml");
    this.#policyFile = join(this.dir, "policy.yaml");
    this.#logFile = join(this.dir, "berthd.log");
    writeFileSync(this.#policyFile, JSON.stringify(options.policy ?? {}));
    writeFileSync(this.#configFile, JSON.stringify({ cgroupRoot: this.cgroupRoot, runtimeClasses: options.runtimeClasses ?? [] }));
  }

  /** Starts berthd and waits until it is ready. Throws with its log when it ends instead. */
  async start(): Promise<void> {
    const { state, run } = this.paths;
    const files = ["--config", this.#configFile, "--policy", this.#policyFile];
    const flags = [...files, "--state-dir", state, "--run-dir", run, "--listen", this.address];
    const log = openSync(this.#logFile, "a");
    // A group of its own: Ctrl-C is for us, who then end it.
    this.#process = spawn(process.execPath, [...this.#nodeFlags, this.#program, ...flags], { stdio: ["ignore", log, log], detached: true });
    const running = this.#process;
    running.on("error", () => undefined); // then it has no pid, which the loop sees
    for (const deadline = Date.now() + READY_MS; !this.log().includes("berthd is ready"); await sleep(PAUSE_MS)) {
      if (running.pid === undefined || hasEnded(running)) throw new Error(`berthd did not start:\n${this.log()}`);
      if (Date.now() > deadline) throw new Error(`berthd was not ready after ${READY_MS} ms:\n${this.log()}`);
    }
    this.#connection = new Connection(this.address);
  }

  get pid(): number {
    if (this.#process?.pid === undefined) throw new Error("berthd is not running");
    return this.#process.pid;
  }

  get sandboxes(): Client<typeof Sandboxes> {
    return this.#connected().client(Sandboxes);
  }

  get node(): Client<typeof Node> {
    return this.#connected().client(Node);
  }

  /** What berthd has logged. */
  log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, "utf8") : "";
  }

  /** What is on the machine of sandboxes of this berthd: a line for each process, mount and cgroup. */
  leftovers(): string[] {
    return [
      ...this.#processes().map(({ pid }) => `process ${pid} ${commandOf(pid)}`),
      ...listMounts(this.dir).map((mount) => `mount ${mount}`),
      ...this.cgroups.list(this.cgroupRoot).map((name) => `cgroup ${this.cgroupRoot}/${name}`),
    ];
  }

  /** Ends berthd and whatever it has left, and removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection?.close();
    await this.#endDaemon();
    for (const left of this.#processes()) killProcess(left, "SIGKILL");
    await this.cgroups.killAll(this.cgroupRoot);
    await this.cgroups.remove(this.cgroupRoot);
    for (const mount of listMounts(this.dir)) unmount(mount);
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  #connected(): Connection {
    if (!this.#connection) throw new Error("berthd is not running");
    return this.#connection;
  }

  async #endDaemon(): Promise<void> {
    const running = this.#process;
    if (running?.pid === undefined) return;
    running.kill("SIGTERM");
    for (const deadline = Date.now() + END_MS; !hasEnded(running); await sleep(PAUSE_MS))
      if (Date.now() > deadline) running.kill("SIGKILL");
  }

  /** Processes whose command names the folder, or that are in the cgroups; berthd is none of them. */
  #processes(): ProcessIdentity[] {
    return readdirSync("/proc").flatMap((name) => {
      const pid = Number(name);
      if (!Number.isInteger(pid) || pid === process.pid || pid === this.#process?.pid) return [];
      const identity = processIdentity(pid);
      const ours = commandOf(pid).includes(`${this.dir}/`) || read(`/proc/${pid}/cgroup`).includes(`:${this.cgroupRoot}/`);
      return ours && identity && isAlive(identity) ? [identity] : [];
    });
  }
}

/** Whether something still holds a namespace such as "net:[4026532301]": a process in it, or a file it is pinned on. */
export function namespaceIsHeld(namespace: string): boolean {
  if (read("/proc/self/mountinfo").includes(` ${namespace} `)) return true;
  const kind = namespace.split(":")[0] ?? "";
  return readdirSync("/proc").some((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/ns/${kind}`) === namespace;
    } catch {
      return false; // it ended between the two looks
    }
  });
}

/** The namespaces pinned in a folder, as the kernel names them. */
export function pinnedNamespaces(dir: string): string[] {
  const mounts = read("/proc/self/mountinfo")
    .split("\n")
    .map((line) => line.split(" "));
  return mounts.flatMap(([, , , root = "", target = ""]) => (target.startsWith(`${dir}/`) && /^\w+:\[\d+\]$/.test(root) ? [root] : []));
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function commandOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // it ended between the two looks
  }
}
