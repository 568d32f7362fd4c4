/** A berthd of a test's own: real process, real runtimes, folders and cgroups that nobody else uses. */

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, openSync, readdirSync as readDir, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Client, Connection } from "../../src/api/client.ts";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { Node } from "../../src/gen/berth/v1/node_pb.js";
import type { Sandbox } from "../../src/gen/berth/v1/sandbox_pb.js";
import { LogStream, Sandboxes } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { Cgroups } from "../../src/host/cgroups.ts";
import { listMounts, unmount } from "../../src/host/mounts.ts";

const BERTHD = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const BERTH = fileURLToPath(new URL("../../src/cli/berth.ts", import.meta.url));

export interface ClassUnderTest {
  readonly name: string;
  readonly adapter: "runsc" | "runc" | "crun";
  /** Release of runsc: 2024 is what Debian has, 2026 a current one. */
  readonly release: 2024 | 2026 | undefined;
}

const current = process.env["BERTH_TEST_RUNSC_CURRENT"] ?? "";

/** Every class that the integration tests run on. The current runsc is there where Go could build it. */
export const CLASSES: readonly ClassUnderTest[] = [
  { name: "runsc", adapter: "runsc", release: 2024 },
  ...(current === "" ? [] : [{ name: "runsc-current", adapter: "runsc" as const, release: 2026 as const }]),
  { name: "runc", adapter: "runc", release: undefined },
  { name: "crun", adapter: "crun", release: undefined },
];

/** A policy.yaml for tests of what a runtime gives: it allows more than the built-in policy does. */
export const WIDE_POLICY = { limits: { capabilities: ["ALL"], seccompProfiles: ["*"] } };

/** One or more lines of berth.yaml that a test adds; see src/config.ts. */
export interface NodeSettings {
  readonly runtimeClasses?: readonly object[];
  readonly config?: object;
  /** policy.yaml; without it the built-in policy holds. */
  readonly policy?: object;
  /** Before `node`: such as setpriv with its flags. */
  readonly wrapper?: readonly string[];
  /** What is run is the bundle, which refuses a fault file. */
  readonly isBundle?: boolean;
}

/** A started berthd with its clients. Disposing it ends berthd and everything that it left, and fails when it left something. */
export class TestNode implements AsyncDisposable {
  readonly dir: string;
  readonly state: string;
  readonly run: string;
  readonly cgroupRoot: string;
  readonly address: string;
  /** oci:DIR:latest with busybox at /bin, users root, app (1000) and nobody. */
  readonly image: string;
  #clients: Clients;
  readonly #settings: NodeSettings;
  #process: ChildProcess | undefined;

  private constructor(settings: NodeSettings) {
    this.#settings = settings;
    // Short: a control socket lies in it.
    this.dir = mkdtempSync("/tmp/bt-");
    this.state = join(this.dir, "state");
    this.run = join(this.dir, "run");
    this.cgroupRoot = `/berth-test-${randomBytes(6).toString("hex")}`;
    this.address = `unix://${join(this.run, "berthd.sock")}`;
    this.image = busyboxImage(join(this.dir, "image"));
    mkdirSync(this.run, { mode: 0o711 });
    writeFileSync(join(this.dir, "berth.yaml"), JSON.stringify(this.#config()));
    this.writePolicy(settings.policy ?? {});
    this.#clients = connect(this.address);
  }

  static async start(settings: NodeSettings = {}): Promise<TestNode> {
    const node = new TestNode(settings);
    try {
      await node.startDaemon();
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
    return node;
  }

  get connection(): Connection {
    return this.#clients.connection;
  }

  get sandboxes(): Client<typeof Sandboxes> {
    return this.#clients.sandboxes;
  }

  get info(): Client<typeof Node> {
    return this.#clients.info;
  }

  get pid(): number {
    if (this.#process?.pid === undefined) throw new Error("berthd is not running");
    return this.#process.pid;
  }

  get policyFile(): string {
    return join(this.dir, "policy.yaml");
  }

  /** berthd takes it with its next start or SIGHUP. */
  writePolicy(policy: object): void {
    writeFileSync(this.policyFile, JSON.stringify(policy));
  }

  /** Lines of berthd's fault file (see src/sandbox/faults.ts); none: no faults. */
  fault(...lines: string[]): void {
    writeFileSync(this.#faultFile, lines.join("\n"), { mode: 0o600 });
  }

  get #faultFile(): string {
    return join(this.dir, "faults");
  }

  get logFile(): string {
    return join(this.dir, "berthd.log");
  }

  /** Starts berthd and waits until it is ready. Throws with its log when it ends instead. */
  async startDaemon(): Promise<void> {
    const [program = process.execPath, ...args] = [...(this.#settings.wrapper ?? []), process.execPath, BERTHD, ...this.#flags()];
    const log = openSync(this.logFile, "a");
    this.#process = spawn(program, args, { stdio: ["ignore", log, log] });
    const before = this.#readyLines();
    for (let waited = 0; this.#readyLines() === before; waited += 20) {
      if (this.#process.exitCode !== null || waited > 60_000)
        throw new Error(`berthd did not start:\n${readFileSync(this.logFile, "utf8")}`);
      await sleep(20);
    }
    // A connection that failed while berthd was down would wait a second before it tries again.
    this.connection.close();
    this.#clients = connect(this.address);
  }

  /** Ends berthd with the signal and waits for its end. Sandboxes live on. */
  async endDaemon(signal: NodeJS.Signals): Promise<void> {
    const running = this.#process;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const ended = new Promise((resolve) => running.once("exit", resolve));
    running.kill(signal);
    await ended;
    this.#process = undefined;
  }

  /** Waits until berthd has ended by itself. */
  async died(): Promise<void> {
    const running = this.#process;
    if (running && running.exitCode === null && running.signalCode === null) await new Promise((resolve) => running.once("exit", resolve));
    this.#process = undefined;
  }

  /** Removes files that `leftovers` has told of and that berthd is right to leave. */
  forget(left: readonly string[]): void {
    for (const line of left) if (line.startsWith("file ")) rmSync(join(this.dir, line.slice("file ".length)), { recursive: true });
  }

  /** The real CLI against this berthd. */
  async berth(...args: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [BERTH, ...args], {
      env: { ...process.env, BERTH_ADDRESS: this.address },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const text = async (stream: NodeJS.ReadableStream): Promise<string> => {
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString("utf8");
    };
    const ended = new Promise<number>((resolve) => child.once("close", (code) => resolve(code ?? -1)));
    const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { exitCode, stdout, stderr };
  }

  /** Gets a sandbox until the condition holds; throws after the time with what it last was. */
  async until(id: string, holds: (sandbox: Sandbox) => boolean, milliseconds = 20_000): Promise<Sandbox> {
    for (const deadline = Date.now() + milliseconds; ; await sleep(30)) {
      const { sandbox } = await this.sandboxes.get({ target: { case: "id", value: id } });
      if (sandbox && holds(sandbox)) return sandbox;
      if (Date.now() > deadline)
        throw new Error(
          `sandbox ${id} did not get there: ${JSON.stringify(sandbox?.status, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value))}`,
        );
    }
  }

  /** What a container has written to one stream, as text. */
  async output(id: string, container: string, stream: LogStream = LogStream.STDOUT): Promise<string> {
    const parts: Buffer[] = [];
    for await (const { entries } of this.sandboxes.logs({ id, container })) {
      for (const entry of entries) if (entry.stream === stream) parts.push(Buffer.from(entry.data), Buffer.from(entry.partial ? "" : "\n"));
    }
    return Buffer.concat(parts).toString("utf8");
  }

  /** Everything on the machine that belongs to sandboxes of this node: processes, mounts, cgroups, files. Empty when nothing was left. */
  leftovers(): string[] {
    const cgroups = new Cgroups();
    const processes = processesNaming(this.dir).filter((line) => !line.startsWith(`${this.#process?.pid ?? 0} `));
    const folders = ["run/s", "run/v", "run/ns", "run/probes", "state/bundles", "state/containers", "state/volumes", "state/logs"].flatMap(
      (name) => {
        const dir = join(this.dir, name);
        return existsSync(dir) ? readDir(dir).map((entry) => `file ${name}/${entry}`) : [];
      },
    );
    return [
      ...processes.map((line) => `process ${line}`),
      ...listMounts(this.dir).map((mount) => `mount ${mount}`),
      ...cgroups.list(this.cgroupRoot).map((name) => `cgroup ${this.cgroupRoot}/${name}`),
      ...folders,
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.connection.close();
    await this.endDaemon("SIGKILL");
    const cgroups = new Cgroups();
    await cgroups.killAll(this.cgroupRoot);
    await cgroups.remove(this.cgroupRoot);
    for (const mount of listMounts(this.dir)) unmount(mount);
    rmSync(this.dir, { recursive: true, force: true });
  }

  #flags(): string[] {
    const files = ["--config", join(this.dir, "berth.yaml"), "--policy", this.policyFile];
    const faults = this.#settings.isBundle ? [] : ["--fault-file", this.#faultFile];
    return [...files, ...faults, "--state-dir", this.state, "--run-dir", this.run, "--listen", this.address];
  }

  #config(): object {
    const own = current === "" ? [] : [{ name: "runsc-current", adapter: "runsc", binary: current }];
    return { cgroupRoot: this.cgroupRoot, ...this.#settings.config, runtimeClasses: [...own, ...(this.#settings.runtimeClasses ?? [])] };
  }

  #readyLines(): number {
    return existsSync(this.logFile) ? readFileSync(this.logFile, "utf8").split("berthd is ready").length : 1;
  }
}

interface Clients {
  readonly connection: Connection;
  readonly sandboxes: Client<typeof Sandboxes>;
  readonly info: Client<typeof Node>;
}

function connect(address: string): Clients {
  const connection = new Connection(address);
  return { connection, sandboxes: connection.client(Sandboxes), info: connection.client(Node) };
}

/** "PID COMMAND" of every process whose command line names the folder. */
function processesNaming(dir: string): string[] {
  return readDir("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return command.includes(`${dir}/`) ? [`${name} ${command.slice(0, 200)}`] : [];
    } catch {
      // It ended between the two looks.
      return [];
    }
  });
}
