import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { GRANTS, SUPERVISORS } from "../integration/matrix/cases.ts";
import { matrixRows, readExpected, RUNTIMES } from "../integration/matrix/table.ts";
import { table } from "../support/markdown.ts";

const DOC = "docs/grants.md";
const CASES = [...GRANTS, ...SUPERVISORS];

/** The page with its table as test/integration/matrix/expected.json has it, each case named where its rows begin. */
function withTable(page: string): string {
  const what = new Map(CASES.map((one) => [one.name, one.what]));
  const rows = matrixRows(readExpected(), RUNTIMES).map(([name = "", ...rest], index, all) => [
    all[index - 1]?.[0] === name ? "" : (what.get(name) ?? ""),
    ...rest,
  ]);
  return page.replace(/(<!-- table: grants -->\n)[^]*?(<!-- end -->)/, (_all, begin: string, end: string) => {
    return `${begin}\n${table(["What is asked for", "Read inside", ...RUNTIMES], ...rows)}\n\n${end}`;
  });
}

test("docs/grants.md has the matrix that the integration test holds the runtimes to", () => {
  if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(DOC, withTable(readFileSync(DOC, "utf8")));
  const page = readFileSync(DOC, "utf8");
  expect(page).toBe(withTable(page));
  expect(page).toContain("<!-- table: grants -->");
});

test("the matrix has every case for every runtime, and no other", () => {
  for (const runtime of RUNTIMES) {
    expect(Object.keys(readExpected()[runtime] ?? {}).toSorted(), runtime).toEqual(CASES.map(({ name }) => name).toSorted());
  }
});
