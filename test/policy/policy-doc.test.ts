import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type Control, type Level, LEVELS } from "../../src/policy/control.ts";
import { LIMIT_NAMES, LIMITS, type LimitName, type LimitValues } from "../../src/policy/limits.ts";
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

function controlTable(level: Level): string {
  const controls = CONTROLS[level].filter((control) => control.level === level);
  return table(["Control", "Fields", "Allowed", "Does not apply when"], controls.flatMap(rowsOf));
}

function limitTable(): string {
  const rows = LIMIT_NAMES.map((name) => [
    `\`${name}\``,
    LIMITS[name].about,
    builtIn(name, LIMITS[name].builtIn["own-kernel"]),
    builtIn(name, LIMITS[name].builtIn["shared-kernel"]),
  ]);
  return table(["Limit", "Of what", "Without a word, own kernel", "Without a word, the host's kernel"], rows);
}

function builtIn<Name extends LimitName>(name: Name, value: LimitValues[Name]): string {
  const limit: (typeof LIMITS)[Name] = LIMITS[name];
  return limit.allowed(value).replaceAll("*", "\\*");
}

/** A table as the formatter wants it: columns of even width. */
function table(header: string[], body: string[][]): string {
  const rows = [header, ...body];
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [header, widths.map((width) => "-".repeat(width)), ...body].map(line).join("\n");
}

const MARKED = /(<!-- (limits|controls: .+) -->\n)([^]*?)(<!-- end -->)/g;

/** The page with each table as the code has it now. */
function withTables(page: string): string {
  return page.replace(MARKED, (_all, begin: string, name: string, _old: string, end: string) => {
    if (name === "limits") return `${begin}\n${limitTable()}\n\n${end}`;
    const level = LEVELS.find((known) => name === `controls: ${known}`);
    if (level === undefined) throw new Error(`${DOC} has a table of a level that the code does not know: ${name}`);
    return `${begin}\n${controlTable(level)}\n\n${end}`;
  });
}

test("docs/policy.md has the limits, and the controls of each level, as the code has them", () => {
  if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(DOC, withTables(readFileSync(DOC, "utf8")));
  const page = readFileSync(DOC, "utf8");
  expect(page).toBe(withTables(page));
  expect([...page.matchAll(MARKED)].map(([, , name]) => name)).toEqual(["limits", "controls: baseline", "controls: restricted"]);
});
