import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { baselineLinux, baselineMounts, type Isolation } from "../../src/bundle/baseline.ts";
import { DEFAULT_CAPABILITIES, KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import { WITH_CAPABILITY } from "../../src/bundle/seccomp-default.ts";
import { DEFAULT_PATH } from "../../src/bundle/process.ts";
import { NO_LIMIT, processRlimits } from "../../src/bundle/rlimits.ts";
import { namespaceOf, SAFE_SYSCTLS } from "../../src/bundle/sysctls.ts";
import { code, table } from "../support/markdown.ts";

const DOC = "docs/rules.md";

function mounts(isolation: Isolation): string {
  const rows = baselineMounts(isolation).map(({ destination, type, options }) => [code(destination), type, options.join(", ") || "none"]);
  return table(["Destination", "Type", "Options"], ...rows);
}

function paths(): string {
  const { maskedPaths = [], readonlyPaths = [] } = baselineLinux({
    isolation: "shared-kernel",
    namespaces: { net: "", ipc: "", uts: "" },
    cgroupsPath: undefined,
  });
  const rows = (list: readonly string[], how: string): string[][] => list.map((path) => [code(path), how]);
  return table(["Path", "For containers"], ...rows(maskedPaths, "hidden"), ...rows(readonlyPaths, "read-only"));
}

function capabilities(): string {
  const rows = KERNEL_CAPABILITIES.map((name, number) => [String(number), code(name), DEFAULT_CAPABILITIES.includes(name) ? "yes" : ""]);
  return table(["Number", "Capability", "By default"], ...rows);
}

function limits(): string {
  const few = new Map(processRlimits(false).map((limit) => [limit.type, limit]));
  const show = (limit: { soft: bigint; hard: bigint } | undefined): string => {
    const [soft = "", hard = ""] = [limit?.soft, limit?.hard].map((value) => (value === NO_LIMIT ? "no limit" : String(value ?? "")));
    return soft === hard ? soft || "not written" : `${soft}, hard ${hard}`;
  };
  const rows = processRlimits(true).map((limit) => [code(limit.type), show(limit), show(few.get(limit.type))]);
  return table(["Limit", "runsc", "runc and crun"], ...rows);
}

function seccomp(): string {
  const rows = KERNEL_CAPABILITIES.flatMap((name) => {
    const calls = WITH_CAPABILITY[name];
    return calls ? [[code(name), calls.map(code).join(", ")]] : [];
  });
  return table(["Capability", "Calls"], ...rows);
}

const TABLES: Readonly<Record<string, string>> = {
  "mounts of runsc": mounts("own-kernel"),
  "mounts of runc and crun": mounts("shared-kernel"),
  "paths of runc and crun": paths(),
  capabilities: capabilities(),
  environment: table(["Variable", "Default"], DEFAULT_PATH.split("=").map(code)),
  limits: limits(),
  "safe settings": table(["Setting", "Namespace"], ...SAFE_SYSCTLS.map((name) => [code(name), namespaceOf(name) ?? ""])),
  "seccomp by capability": seccomp(),
};

const MARKED = /(<!-- table: (.+) -->\n)([^]*?)(<!-- end -->)/g;

/** The page with each table as the code has it now. */
function withTables(page: string): string {
  return page.replace(MARKED, (_all, begin: string, name: string, _old: string, end: string) => {
    const text = TABLES[name];
    if (text === undefined) throw new Error(`${DOC} has a table that the code does not: ${name}`);
    return `${begin}\n${text}\n\n${end}`;
  });
}

test("docs/rules.md has each table as the code has it", () => {
  if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(DOC, withTables(readFileSync(DOC, "utf8")));
  const page = readFileSync(DOC, "utf8");
  expect(page).toBe(withTables(page));
  expect([...page.matchAll(MARKED)].map(([, , name]) => name).toSorted()).toEqual(Object.keys(TABLES).toSorted());
});
