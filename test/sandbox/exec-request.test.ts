import { describe, expect, test } from "vitest";
import { BerthError } from "../../src/errors.ts";
import { parseExecRequest, parseTerminalSize } from "../../src/sandbox/exec-request.ts";

const GOOD = { command: ["ls"] };

test("what is left out has a default", () => {
  expect(parseExecRequest(GOOD)).toEqual({ command: ["ls"], env: [], workingDir: "", tty: false, stdin: false });
  const all = {
    command: ["sh", "-c", ""],
    env: [{ name: "A", value: "" }],
    workingDir: "/tmp",
    tty: true,
    stdin: true,
    terminalSize: { columns: 65_535, rows: 1 },
  };
  expect(parseExecRequest(all)).toEqual(all);
  expect(parseExecRequest({ ...GOOD, tty: true }).terminalSize).toEqual({ columns: 80, rows: 24 });
});

const long = "x".repeat(128 * 1024);

describe.each([
  ["command", { command: [] }, "is empty"],
  ["command[0]", { command: ["", "a"] }, "is empty"],
  ["command[1]", { command: ["a", "b\0"] }, "contains a NUL character"],
  ["command[1]", { command: ["a", long] }, "is too long"],
  ["command", { command: ["a", ...Array.from({ length: 9 }, () => long.slice(1))] }, "is too long together with env"],
  ["env[0]", { env: [{ name: "A", value: long }] }, "is too long"],
  ["env[0].name", { env: [{ name: "A=B", value: "" }] }, ""],
  ["env[0].value", { env: [{ name: "A", value: "\0" }] }, "contains a NUL character"],
  ["workingDir", { workingDir: "tmp" }, "is not absolute"],
  ["workingDir", { workingDir: "/proc/self/fd/7/../../.." }, "leads through /proc (CVE-2024-21626)"],
  ["terminalSize", { terminalSize: { columns: 80, rows: 24 } }, "is only used with tty"],
  ["terminalSize.rows", { tty: true, terminalSize: { columns: 80, rows: 0 } }, "is not the side of a terminal"],
  ["terminalSize.columns", { tty: true, terminalSize: { columns: 65_536, rows: 1 } }, "is not the side of a terminal"],
])("%s", (field, wrong, rule) => {
  test(`is refused in ${JSON.stringify(wrong).slice(0, 80)}`, () => {
    const found = refusal(() => parseExecRequest({ ...GOOD, ...wrong }));
    expect(found).toMatchObject({ reason: "InvalidRequest", detail: { violations: [{ field, ...(rule === "" ? {} : { rule }) }] } });
  });
});

test("a new size is held to the same rule", () => {
  expect(parseTerminalSize({ columns: 80, rows: 24 })).toEqual({ columns: 80, rows: 24 });
  expect(refusal(() => parseTerminalSize({ columns: 80, rows: -1 })).detail.violations?.[0]?.field).toBe("rows");
});

function refusal(act: () => unknown): BerthError {
  try {
    act();
  } catch (error) {
    if (error instanceof BerthError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}
