import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Control, type Level, LEVELS } from "../../src/policy/control.ts";
import { CONTROLS } from "../../src/policy/levels.ts";

const DOC = "docs/policy.md";

/** What is in a Pod, and in each kind of container, is written once. */
function fieldsText(fields: readonly string[]): string {
  const short = fields.map((field) => field.replace(/^spec\.(containers|initContainers|ephemeralContainers)\[\*\]\./, "CONTAINER."));
  return [...new Set(short)].map((field) => `\`${field}\``).join("<br>");
}

function rowsOf({ name, rules, unless }: Control): string[][] {
  return rules.map(({ fields, allowed }) => [name, fieldsText(fields), allowed, unless?.says ?? ""]);
}

/** A table as the formatter wants it: columns of even width. */
function table(level: Level): string {
  const rows = [
    ["Control", "Fields", "Allowed", "Does not apply when"],
    ...CONTROLS[level].filter((control) => control.level === level).flatMap(rowsOf),
  ];
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const [head = [], ...body] = rows;
  return [head, widths.map((width) => "-".repeat(width)), ...body].map(line).join("\n");
}

const MARKED = /(<!-- controls: (.+) -->\n)([^]*?)(<!-- end -->)/g;

/** The page with each table as the code has it now. */
function withTables(page: string): string {
  return page.replace(MARKED, (_all, begin: string, name: string, _old: string, end: string) => {
    const level = LEVELS.find((known) => known === name);
    if (level === undefined) throw new Error(`${DOC} has a table of a level that the code does not know: ${name}`);
    return `${begin}\n${table(level)}\n\n${end}`;
  });
}

test("docs/policy.md has the controls of each level as the code has them", () => {
  if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(DOC, withTables(readFileSync(DOC, "utf8")));
  const page = readFileSync(DOC, "utf8");
  expect(page).toBe(withTables(page));
  expect([...page.matchAll(MARKED)].map(([, , name]) => name)).toEqual(["baseline", "restricted"]);
});
