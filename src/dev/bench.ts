/**
 * `npm run bench -- [--rounds N] [--class NAME]... [--json FILE] [--berthd FILE] [--cpu-prof DIR]`: what berthd adds to the bare runtime
 * commands, and what it costs to have. Prints and judges nothing; docs/benchmarks.md says what each figure means.
 */

import { execFileSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { constants, cpus, homedir, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { RuntimeClass } from "../gen/berth/v1/node_pb.js";
import type { Sandbox } from "../gen/berth/v1/sandbox_pb.js";
import { BareRuntimes, type BareTimes, type SandboxTemplate, templateOf } from "./bench/bare.ts";
import { proportionalBytes, residentBytes } from "./bench/memory.ts";
import { renderMicroseconds } from "./bench/render.ts";
import { type ClassFigures, type Figures, reportText } from "./bench/report.ts";
import { Interrupted, interrupted } from "./quickstart/interrupt.ts";
import { OwnBerthd } from "./quickstart/own-berthd.ts";
import { busyboxImage } from "./test-image.ts";

const GETS = 500;
const ALIVE = 10;
/** Between two measurements, for the kernel to clean up after the one before. */
const REST_MS = 50;
const NO_GRACE = { seconds: 0n };

interface BenchOptions {
  readonly rounds: number;
  /** Empty: all. */
  readonly classes: readonly string[];
  readonly json: string | undefined;
  /** Program to measure; the source when absent. */
  readonly berthd: string | undefined;
  readonly cpuProfile: string | undefined;
}

function readOptions(): BenchOptions {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "15" },
      class: { type: "string", multiple: true, default: [] },
      json: { type: "string" },
      berthd: { type: "string" },
      "cpu-prof": { type: "string" },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds} is not a number of rounds`);
  return { rounds, classes: values.class, json: values.json, berthd: values.berthd, cpuProfile: values["cpu-prof"] };
}

async function bench(own: OwnBerthd, options: BenchOptions): Promise<Figures> {
  const load = loadavg()[0] ?? 0;
  const image = busyboxImage(join(own.dir, "image"));
  await own.start();
  const { runtimeClasses } = await own.node.info({});
  const classes = runtimeClasses.filter(({ name, ready }) => ready && (options.classes.length === 0 || options.classes.includes(name)));
  for (const { name, message } of runtimeClasses.filter(({ ready }) => !ready)) say(`${name} does not work here: ${message}`);
  const start = residentBytes(own.pid);

  const subjects: Subject[] = [];
  for (const runtimeClass of classes) subjects.push(await Subject.warmUp(own, runtimeClass, image));
  using bare = await BareRuntimes.start(own, image);
  for (let round = 0; round < options.rounds; round++) {
    say(`round ${round + 1} of ${options.rounds}`);
    for (const subject of subjects) await subject.round(bare, round % 2 === 0);
  }
  const afterRounds = residentBytes(own.pid);
  const alive = await keepAlive(own, classes[0]?.name ?? "", image);
  return {
    machine: { ...machine(own, load, classes), berthd: options.berthd ?? "from source" },
    rounds: options.rounds,
    classes: subjects.map((subject) => subject.figures),
    renderMicroseconds: renderMicroseconds(),
    get: alive.get,
    berthdRss: { start, afterRounds, withSandboxes: alive.rss },
    aliveSandboxes: ALIVE,
    aliveClass: classes[0]?.name ?? "",
    monitorPss: alive.monitorPss,
  };
}

/** One runtime class: the bare way and berthd's, measured in turn. */
class Subject {
  readonly figures: ClassFigures;
  readonly #own: OwnBerthd;
  readonly #image: string;
  readonly #template: SandboxTemplate;

  private constructor(own: OwnBerthd, { name, adapter, version }: RuntimeClass, image: string, template: SandboxTemplate) {
    this.#own = own;
    this.#image = image;
    this.#template = template;
    const none = (): { bare: number[]; berthd: number[] } => ({ bare: [], berthd: [] });
    this.figures = { name, adapter, version, create: none(), teardown: none(), prepare: [], stages: new Map() };
  }

  /** Runs berthd once, from whose sandbox the bare side takes everything. */
  static async warmUp(own: OwnBerthd, runtimeClass: RuntimeClass, image: string): Promise<Subject> {
    const { sandbox } = await own.sandboxes.create(request(runtimeClass.name, image, "warm-up"));
    if (!sandbox) throw new Error("berthd's answer to Create has no sandbox");
    const template = templateOf(own, sandbox);
    await own.sandboxes.delete({ id: sandbox.metadata?.id ?? "", gracePeriod: NO_GRACE });
    return new Subject(own, runtimeClass, image, template);
  }

  async round(bare: BareRuntimes, bareFirst: boolean): Promise<void> {
    const sides = [async () => this.#addBare(await bare.round(this.#template)), async () => this.#berthd()];
    for (const side of bareFirst ? sides : sides.toReversed()) {
      await side();
      await sleep(REST_MS);
    }
  }

  #addBare({ create, teardown, prepare, stages }: BareTimes): void {
    this.figures.create.bare.push(create);
    this.figures.teardown.bare.push(teardown);
    this.figures.prepare.push(prepare);
    for (const [stage, time] of stages) this.#stage(stage).bare.push(time);
  }

  async #berthd(): Promise<void> {
    const before = performance.now();
    const { sandbox } = await this.#own.sandboxes.create(request(this.figures.name, this.#image, "bench"));
    const created = performance.now();
    await this.#own.sandboxes.delete({ id: sandbox?.metadata?.id ?? "", gracePeriod: NO_GRACE });
    const deleted = performance.now();
    this.figures.create.berthd.push(created - before);
    this.figures.teardown.berthd.push(deleted - created);
    this.#addStages(sandbox);
  }

  #addStages(sandbox: Sandbox | undefined): void {
    for (const { name, duration } of sandbox?.status?.stages ?? [])
      this.#stage(name.replace(/ app$/, "")).berthd.push(milliseconds(duration));
  }

  #stage(name: string): { bare: number[]; berthd: number[] } {
    const there = this.figures.stages.get(name) ?? { bare: [], berthd: [] };
    this.figures.stages.set(name, there);
    return there;
  }
}

function request(runtimeClassName: string, image: string, name: string) {
  const containers = [{ name: "app", image, command: ["/bin/busybox", "sleep", "100000"] }];
  return { metadata: { name }, spec: { runtimeClassName, containers } };
}

/** What berthd and the monitors take while sandboxes run, and how fast it answers then. */
async function keepAlive(own: OwnBerthd, className: string, image: string): Promise<{ rss: number; monitorPss: number[]; get: number[] }> {
  const ids: string[] = [];
  for (let count = 0; count < ALIVE; count++) {
    const { sandbox } = await own.sandboxes.create(request(className, image, `alive-${count}`));
    ids.push(sandbox?.metadata?.id ?? "");
  }
  const monitorPss = proportionalBytes("conmon", own.paths.run);
  const get: number[] = [];
  for (let call = 0; call < GETS; call++) {
    const before = performance.now();
    await own.sandboxes.get({ target: { case: "id", value: ids[call % ids.length] ?? "" } });
    get.push(performance.now() - before);
  }
  const rss = residentBytes(own.pid);
  for (const id of ids) await own.sandboxes.delete({ id, gracePeriod: NO_GRACE });
  return { rss, monitorPss, get };
}

function machine(own: OwnBerthd, load: number, classes: readonly RuntimeClass[]): Record<string, string | number> {
  const versions = classes.map(({ name, version, platform }) => [name, platform === "" ? version : `${version} (${platform})`]);
  return {
    cores: cpus().length,
    memory: `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    kernel: release(),
    cgroups: own.cgroups.layout,
    node: process.version,
    conmon: /version (\S+)/.exec(execFileSync("conmon", ["--version"], { encoding: "utf8" }))?.[1] ?? "",
    ...Object.fromEntries(versions),
    "load before": load.toFixed(1),
    "load after": (loadavg()[0] ?? 0).toFixed(1),
  };
}

function milliseconds(duration: Duration | undefined): number {
  return Number(duration?.seconds ?? 0n) * 1000 + (duration?.nanos ?? 0) / 1e6;
}

/** The current release of runsc, where `npm run runsc:current` has built one. */
function currentRunsc(): object[] {
  const cached = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "berth/runsc-20260905/runsc");
  const binary = process.env["BERTH_TEST_RUNSC_CURRENT"] || (existsSync(cached) ? cached : "");
  return binary === "" ? [] : [{ name: "runsc-current", adapter: "runsc", binary }];
}

function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

async function main(): Promise<number> {
  const interrupt = interrupted();
  try {
    const options = readOptions();
    const nodeFlags = options.cpuProfile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${options.cpuProfile}`];
    await using own = new OwnBerthd({ runtimeClasses: currentRunsc(), program: options.berthd, nodeFlags });
    const figures = await Promise.race([bench(own, options), interrupt]);
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(figures, stagesAsObject, 2)}\n`);
    process.stdout.write(`${reportText(figures)}\n`);
    return 0;
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    return error instanceof Interrupted ? 128 + constants.signals[error.signal] : 1;
  }
}

function stagesAsObject(_key: string, value: unknown): unknown {
  return value instanceof Map ? Object.fromEntries(value) : value;
}

// What an interrupt has left waiting must not hold the end up.
process.exit(await main());
