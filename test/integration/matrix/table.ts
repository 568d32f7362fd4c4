/** The matrix as the repository has it: expected.json, a table for each runtime, and the same by case × runtime for people. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { GRANTS, SUPERVISORS } from "./cases.ts";

/** Runtimes in the order of the columns. */
export const RUNTIMES = ["runsc 2024", "runsc 2026", "runc", "crun"] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

/** What is read in a case → its value as text. */
export type Readings = Readonly<Record<string, string>>;
/** Case → readings. */
export type RuntimeTable = Readonly<Record<string, Readings>>;
export type Matrix = Readonly<Partial<Record<RuntimeName, RuntimeTable>>>;

const EXPECTED = fileURLToPath(new URL("expected.json", import.meta.url));

export function readExpected(): Matrix {
  return existsSync(EXPECTED) ? (JSON.parse(readFileSync(EXPECTED, "utf8")) as Matrix) : {};
}

/** Puts one runtime's table in the place of the old. */
export function writeExpected(runtime: RuntimeName, table: RuntimeTable): void {
  const all: Matrix = { ...readExpected(), [runtime]: table };
  const ordered = Object.fromEntries(RUNTIMES.flatMap((name) => (all[name] ? [[name, all[name]]] : [])));
  writeFileSync(EXPECTED, `${JSON.stringify(ordered, null, 2)}\n`);
}

/**
 * Rows of case, reading and the value under each runtime ("" where it was not measured). A step of a supervisor that works everywhere
 * is shown once, in the case that lacks nothing.
 */
export function matrixRows(matrix: Matrix, runtimes: readonly RuntimeName[]): string[][] {
  const rows = (cases: readonly { readonly name: string }[]): string[][] =>
    cases.flatMap(({ name }) => {
      const readings = [...new Set(runtimes.flatMap((runtime) => Object.keys(matrix[runtime]?.[name] ?? {})))];
      return readings.map((reading) => [name, reading, ...runtimes.map((runtime) => matrix[runtime]?.[name]?.[reading] ?? "")]);
    });
  const [complete = [], ...lacking] = SUPERVISORS.map((one) => rows([one]));
  const fails = ([, , ...values]: readonly string[]): boolean => values.some((value) => value !== "ok");
  return [...rows(GRANTS), ...complete, ...lacking.flat().filter(fails)];
}
