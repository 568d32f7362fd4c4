/** What the bench has measured, and how it is printed. Pure. */

import { columns } from "../quickstart/grid.ts";
import { median, p95, pairedRatio } from "./statistics.ts";

/** Milliseconds of one kind of work, one value for each round. */
export interface Comparison {
  readonly bare: number[];
  readonly berthd: number[];
}

export interface ClassFigures {
  readonly name: string;
  readonly adapter: string;
  readonly version: string;
  readonly create: Comparison;
  readonly teardown: Comparison;
  /** What create has beside the runtime's commands, by the same code in the bench. Not in create.bare. */
  readonly prepare: number[];
  /** By name of the stage; a stage that only one side has is empty on the other. */
  readonly stages: Map<string, Comparison>;
}

export interface Figures {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly rounds: number;
  readonly classes: readonly ClassFigures[];
  readonly renderMicroseconds: number;
  /** Milliseconds of each call. */
  readonly get: readonly number[];
  /** Bytes. */
  readonly berthdRss: Readonly<Record<"start" | "afterRounds" | "withSandboxes", number>>;
  readonly aliveSandboxes: number;
  /** Bytes of each monitor, with all sandboxes alive. */
  readonly monitorPss: readonly number[];
  readonly aliveClass: string;
}

/** Create against the bare commands; docs say where they come from. */
const TARGETS: Readonly<Record<string, string>> = { runsc: "1.05", runc: "1.15", crun: "1.30" };

const ms = (value: number): string => value.toFixed(1);
const ratio = (value: number): string => value.toFixed(2);
const mib = (bytes: number): string => (bytes / 1024 / 1024).toFixed(1);

export function reportText(figures: Figures): string {
  const machine = Object.entries(figures.machine).map(([name, value]) => `${name} ${value}`);
  return [
    `machine: ${machine.join(", ")}`,
    `${figures.rounds} rounds, bare and berthd in turn, pause + 1 app, milliseconds`,
    "",
    "Create: every app started",
    comparisonTable(figures.classes, "create"),
    "",
    "Delete with no grace: everything ended and removed",
    comparisonTable(figures.classes, "teardown"),
    "",
    "Where a create's time goes: medians by stage, which may overlap",
    ...figures.classes.map(stageTable),
    "What berthd's process costs",
    columns([
      ["", "value", "unit"],
      ["render(), pause + 1 app", figures.renderMicroseconds.toFixed(1), "us a call"],
      ["render()", (1e6 / figures.renderMicroseconds).toFixed(0), "calls a second"],
      ["Get over gRPC, median", median(figures.get).toFixed(2), "ms"],
      ["Get over gRPC, p95", p95(figures.get).toFixed(2), "ms"],
      ["berthd's RSS, started", mib(figures.berthdRss.start), "MiB"],
      ["berthd's RSS, after the rounds", mib(figures.berthdRss.afterRounds), "MiB"],
      [`berthd's RSS, ${figures.aliveSandboxes} sandboxes alive (${figures.aliveClass})`, mib(figures.berthdRss.withSandboxes), "MiB"],
      [`PSS of the monitors of one sandbox (${figures.monitorPss.length} conmon alive)`, mib(perSandbox(figures)), "MiB"],
    ]),
  ].join("\n");
}

function perSandbox({ monitorPss, aliveSandboxes }: Figures): number {
  return monitorPss.reduce((sum, bytes) => sum + bytes, 0) / aliveSandboxes;
}

function comparisonTable(classes: readonly ClassFigures[], what: "create" | "teardown"): string {
  const more = what === "create" ? ["target", "paired, bare prepared"] : [];
  const header = ["", "bare p50", "bare p95", "berthd p50", "berthd p95", "p50 ratio", "paired ratio", ...more];
  const rows = classes.map((of) => {
    const { bare, berthd } = of[what];
    const ratios = [ratio(median(berthd) / median(bare)), ratio(pairedRatio(berthd, bare))];
    const prepared = bare.map((create, index) => create + (of.prepare[index] ?? NaN));
    const wanted = what === "create" ? [`<${TARGETS[of.adapter] ?? ""}`, ratio(pairedRatio(berthd, prepared))] : [];
    return [of.name, ms(median(bare)), ms(p95(bare)), ms(median(berthd)), ms(p95(berthd)), ...ratios, ...wanted];
  });
  return columns([header, ...rows]);
}

function stageTable({ name, version, stages, prepare, create }: ClassFigures): string {
  const cell = (values: readonly number[]): string => (values.length === 0 ? "-" : ms(median(values)));
  const rows = [...stages].map(([stage, { bare, berthd }]) => [stage, cell(bare), cell(berthd)]);
  const total = ["all, with gRPC and journal", cell(create.bare), cell(create.berthd)];
  const before = ["(preparation, not in bare's create)", cell(prepare), "-"];
  return `${columns([[`${name} ${version}`, "bare", "berthd"], ...rows, total, before])}\n`;
}
