/**
 * The bare side of the comparison: what a person with a shell would type for the bundles, monitors and flags that berthd uses,
 * all taken from a sandbox that berthd made.
 */

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Sandbox } from "../../gen/berth/v1/sandbox_pb.js";
import { resolveImage } from "../../image/layout.ts";
import { LayerStore } from "../../image/store.ts";
import { SandboxNamespaces } from "../../network/namespaces.ts";
import { NodePaths } from "../../paths.ts";
import { RootFilesystems } from "../../rootfs/overlay.ts";
import type { OwnBerthd } from "../quickstart/own-berthd.ts";
import { quote, Shell } from "./shell.ts";

const APP_RUNTIME = fileURLToPath(new URL("./bare-runsc-app.sh", import.meta.url));
const EXIT_MS = 10_000;

/** How long one round took, in milliseconds. */
export interface BareTimes {
  /** Overlay, namespaces, cgroup, folders and config.json, by berthd's own code. Not part of create. */
  readonly prepare: number;
  readonly create: number;
  /** Of create, by stage. */
  readonly stages: ReadonlyMap<string, number>;
  readonly teardown: number;
}

/** One container of the sandbox that is imitated. */
interface ContainerTemplate {
  readonly id: string;
  readonly configJson: string;
  readonly bundle: string;
  /** conmon and its arguments as berthd called it. */
  readonly conmon: readonly string[];
}

export interface SandboxTemplate {
  readonly adapter: string;
  /** Path of the runtime's kept binary. */
  readonly binary: string;
  readonly pause: ContainerTemplate;
  readonly app: ContainerTemplate;
}

/** Reads all that a running sandbox of pause and one app was made with. */
export function templateOf(own: OwnBerthd, sandbox: Sandbox): SandboxTemplate {
  const id = sandbox.metadata?.id ?? "";
  const [app] = sandbox.status?.containers ?? [];
  const runtime = sandbox.status?.runtime;
  if (!app || !runtime) throw new Error("a running sandbox has an app and a runtime");
  const read = (container: string, containerId: string): ContainerTemplate => {
    const pid = readFileSync(join(own.paths.container(id, containerId), "conmon.pid"), "utf8").trim();
    const conmon = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
    const bundle = join(own.paths.bundles(id), container);
    return { id: containerId, configJson: readFileSync(join(bundle, "config.json"), "utf8"), bundle, conmon };
  };
  const folder = join(own.paths.runtimes, runtime.binaryDigest.replace("sha256:", ""));
  const pause = read("pause", id);
  const binary = runtimeCommand(pause.conmon).find((word) => word.startsWith(`${folder}/`));
  if (binary === undefined) throw new Error(`conmon of pause does not call a binary of ${folder}`);
  return { adapter: runtime.adapter, binary, pause, app: read(app.name, app.id) };
}

export class BareRuntimes implements Disposable {
  readonly #own: OwnBerthd;
  readonly #paths: NodePaths;
  readonly #rootfs: RootFilesystems;
  readonly #namespaces: SandboxNamespaces;
  readonly #layers: readonly string[];
  readonly #shell: Shell;

  private constructor(own: OwnBerthd, layers: readonly string[]) {
    this.#own = own;
    this.#layers = layers;
    this.#paths = new NodePaths(join(own.dir, "bs"), join(own.dir, "b"));
    mkdirSync(this.#paths.state);
    mkdirSync(this.#paths.run);
    this.#rootfs = new RootFilesystems(this.#paths.rootfs);
    this.#namespaces = new SandboxNamespaces(this.#paths.run);
    this.#shell = new Shell(own.dir);
  }

  /** The layers of the image are those that berthd has unpacked. */
  static async start(own: OwnBerthd, image: string): Promise<BareRuntimes> {
    return new BareRuntimes(own, await new LayerStore(own.paths.images).unpack(await resolveImage(image)));
  }

  /** Makes a sandbox like the template's and takes it down again. */
  async round(template: SandboxTemplate): Promise<BareTimes> {
    const before = performance.now();
    const bare = this.#prepare(template);
    const prepare = performance.now() - before;
    const creating = this.#script("create.sh", createScript(bare));
    const killing = this.#script("kill.sh", killScript(bare));
    const deleting = this.#script("delete.sh", deleteScript(bare));
    try {
      const marks = await this.#shell.run(creating);
      const failed = marks.find(({ text }) => text.startsWith("failed") || /"data":\s*-/.test(text));
      if (failed) throw new Error(`the bare ${template.adapter} could not create: ${failed.text} ${outputOf(bare)}`);
      const started = performance.now();
      const ended = filesAppear(bare.exitFiles);
      await this.#shell.run(killing);
      await ended;
      const deleted = await this.#shell.run(deleting);
      const teardown = performance.now() - started;
      const left = deleted.find(({ text }) => text.startsWith("failed"));
      if (left) throw new Error(`the bare ${template.adapter} could not delete: ${left.text} ${outputOf(bare)}`);
      return { prepare, create: marks.at(-1)?.at ?? NaN, stages: stagesOf(marks), teardown };
    } finally {
      await this.#remove(bare);
    }
  }

  [Symbol.dispose](): void {
    this.#shell[Symbol.dispose]();
  }

  #prepare(template: SandboxTemplate): BareSandbox {
    const [pauseId, appId] = [newId(), newId()];
    const { state, run } = this.#own.paths;
    const renames: [string, string][] = [
      [template.pause.id, pauseId],
      [template.app.id, appId],
      [`${run}/`, `${this.#paths.run}/`],
      ...["containers", "bundles", "logs"].map((name): [string, string] => [`${state}/${name}/`, `${this.#paths.state}/${name}/`]),
    ];
    const renamed = (text: string): string => renames.reduce((renaming, [from, to]) => renaming.replaceAll(from, to), text);
    this.#rootfs.mount(appId, this.#layers);
    this.#namespaces.create(pauseId);
    this.#own.cgroups.create(`${this.#own.cgroupRoot}/${pauseId}`);
    const containers = [template.pause, template.app].map((container, index): BareContainer => {
      const id = index === 0 ? pauseId : appId;
      const bundle = renamed(container.bundle);
      mkdirSync(bundle, { recursive: true, mode: 0o700 });
      writeFileSync(join(bundle, "config.json"), renamed(container.configJson), { mode: 0o600 });
      const conmon = container.conmon.map(renamed);
      for (const option of ["--persist-dir", "--exit-dir", "--socket-dir-path"])
        mkdirSync(optionOf(conmon, option), { recursive: true, mode: 0o700 });
      mkdirSync(dirname(optionOf(conmon, "-l").replace("k8s-file:", "")), { recursive: true, mode: 0o700 });
      mkdirSync(this.#paths.runtimeRoot(pauseId), { recursive: true, mode: 0o700 });
      const command = runtimeCommand(conmon);
      return { id, dir: optionOf(conmon, "--persist-dir"), conmon, verb: command.slice(command.indexOf(template.binary)) };
    });
    const [pause, app] = containers as [BareContainer, BareContainer];
    const exits = optionOf(pause.conmon, "--exit-dir");
    const guest = template.adapter === "runsc";
    return { guest, pause, app, exitFiles: (guest ? [pause] : [pause, app]).map(({ id }) => join(exits, id)) };
  }

  async #remove({ pause, app }: BareSandbox): Promise<void> {
    const cgroup = `${this.#own.cgroupRoot}/${pause.id}`;
    await this.#own.cgroups.killAll(cgroup);
    await this.#own.cgroups.remove(cgroup);
    this.#rootfs.remove(app.id);
    this.#namespaces.remove(pause.id);
    rmSync(this.#paths.bundles(pause.id), { recursive: true, force: true });
    rmSync(this.#paths.logs(pause.id), { recursive: true, force: true });
    // A current runsc keeps a mount in its folder until the sandbox is gone; what is left goes with the bench's folder.
    try {
      rmSync(this.#paths.sandbox(pause.id), { recursive: true, force: true });
    } catch {
      return;
    }
  }

  #script(name: string, lines: readonly string[]): string {
    const file = join(this.#paths.state, name);
    writeFileSync(file, `${lines.join("\n")}\n`);
    return file;
  }
}

interface BareContainer {
  readonly id: string;
  readonly dir: string;
  readonly conmon: readonly string[];
  /** The runtime with its flags. */
  readonly verb: readonly string[];
}

interface BareSandbox {
  /** Apps live in the sandbox's own kernel, and so conmon cannot watch them. */
  readonly guest: boolean;
  readonly pause: BareContainer;
  readonly app: BareContainer;
  /** What conmon writes when its container has ended. */
  readonly exitFiles: readonly string[];
}

function createScript({ guest, pause, app }: BareSandbox): string[] {
  const appConmon = guest ? withRuntime(app.conmon, ["/bin/sh", APP_RUNTIME, String(app.verb.length), ...app.verb]) : app.conmon;
  return [
    ...conmonLines(pause, pause.conmon, "pause-create"),
    ...verbLines(pause, ["start", pause.id], "pause-start"),
    ...conmonLines(app, appConmon, guest ? "app-create + app-start" : "app-create"),
    ...(guest ? [] : verbLines(app, ["start", app.id], "app-start")),
  ];
}

function killScript({ guest, pause, app }: BareSandbox): string[] {
  return [...(guest ? [] : verbLines(app, ["kill", app.id, "KILL"], "kill")), ...verbLines(pause, ["kill", pause.id, "KILL"], "kill")];
}

function deleteScript({ guest, pause, app }: BareSandbox): string[] {
  const standIn = guest ? [`read -r pid <${quote(join(app.dir, "pid"))} && kill -9 "$pid"`] : [];
  return [
    ...standIn,
    ...verbLines(app, ["delete", "--force", app.id], "delete"),
    ...verbLines(pause, ["delete", "--force", pause.id], "delete"),
  ];
}

/** conmon goes into the background by itself and reports the pid of the container, or why there is none. */
function conmonLines(container: BareContainer, conmon: readonly string[], mark: string): string[] {
  const output = quote(join(container.dir, "conmon.out"));
  return [
    `_OCI_SYNCPIPE=3 ${conmon.map(quote).join(" ")} </dev/null >/dev/null 2>${output} 3>&4 4>&- || echo "failed ${mark} $?"`,
    "read -r report <&4",
    `echo "${mark}:$report"`,
  ];
}

function verbLines(container: BareContainer, verb: readonly string[], mark: string): string[] {
  const output = quote(join(container.dir, "verb.out"));
  return [
    `${[...container.verb, ...verb].map(quote).join(" ")} </dev/null >>${output} 2>&1 4>&- || echo "failed ${verb[0]} $?"`,
    `echo "${mark}:"`,
  ];
}

function stagesOf(marks: readonly { text: string; at: number }[]): Map<string, number> {
  const stages = new Map<string, number>();
  let before = 0;
  for (const { text, at } of marks) {
    if (text !== "== done") stages.set(text.slice(0, text.indexOf(":")), at - before);
    before = at;
  }
  return stages;
}

/** Program and arguments that conmon calls. */
function runtimeCommand(conmon: readonly string[]): string[] {
  return conmon.flatMap((_, index) => (conmon[index - 1] === "-r" || conmon[index - 1] === "--runtime-arg" ? [conmon[index] ?? ""] : []));
}

function withRuntime(conmon: readonly string[], command: readonly string[]): string[] {
  const from = conmon.indexOf("-r");
  const to = conmon.lastIndexOf("--runtime-arg") + 2;
  const [program = "", ...args] = command;
  return [...conmon.slice(0, from), "-r", program, ...args.flatMap((arg) => ["--runtime-arg", arg]), ...conmon.slice(to)];
}

function optionOf(args: readonly string[], name: string): string {
  const value = args[args.indexOf(name) + 1];
  if (!args.includes(name) || value === undefined) throw new Error(`berthd called conmon without ${name}`);
  return value;
}

/** Waits until all files of one folder are there. */
async function filesAppear(files: readonly string[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const check = (): void => {
    if (files.every((file) => existsSync(file))) resolve(undefined);
  };
  const watcher = watch(dirname(files[0] ?? ""), check);
  const timer = setTimeout(() => reject(new Error(`${files.join(", ")} did not appear within ${EXIT_MS} ms`)), EXIT_MS);
  check();
  try {
    await promise;
  } finally {
    watcher.close();
    clearTimeout(timer);
  }
}

function outputOf({ pause, app }: BareSandbox): string {
  const files = [pause, app].flatMap(({ dir }) => ["conmon.out", "verb.out"].map((name) => join(dir, name)));
  return files.flatMap((file) => (existsSync(file) ? [readFileSync(file, "utf8").trim()] : [])).join("\n");
}

function newId(): string {
  return randomBytes(16).toString("hex");
}
