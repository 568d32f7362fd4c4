import { expect, test } from "vitest";
import { containerProcess, execProcessJson } from "../../src/bundle/exec-process.ts";
import { configJson, type OciConfig } from "../../src/bundle/oci.ts";

const PROCESS: OciConfig["process"] = {
  terminal: false,
  user: { uid: 1000, gid: 1000, additionalGids: [1000, 5], umask: 0o27 },
  args: ["/bin/app"],
  env: ["PATH=/bin", "A=1=2", "B=keep"],
  cwd: "/srv",
  capabilities: {
    bounding: ["CAP_KILL"],
    effective: ["CAP_KILL"],
    inheritable: ["CAP_KILL"],
    permitted: ["CAP_KILL"],
    ambient: ["CAP_KILL"],
  },
  rlimits: [{ type: "RLIMIT_AS", hard: 2n ** 64n - 1n, soft: 1n }],
  noNewPrivileges: true,
};

const config: OciConfig = {
  ociVersion: "1.0.2",
  process: PROCESS,
  root: { path: "/", readonly: false },
  mounts: [],
  annotations: {},
  linux: { resources: {}, namespaces: [] },
};

const render = (program: Partial<Parameters<typeof execProcessJson>[1]>): string =>
  execProcessJson(containerProcess(configJson(config)), { command: ["sh"], env: [], workingDir: "", tty: false, ...program });

test("only program, environment, folder and terminal differ from the container's process", () => {
  const asked = {
    command: ["ls", ""],
    env: [
      { name: "A", value: "$(B)" },
      { name: "C", value: "" },
      { name: "C", value: "x=y" },
    ],
    workingDir: "/tmp",
    tty: true,
  };
  const { args, env, cwd, terminal, ...rest } = JSON.parse(render(asked)) as Record<string, unknown>;
  expect({ args, env, cwd, terminal }).toEqual({
    args: ["ls", ""],
    env: ["PATH=/bin", "A=$(B)", "B=keep", "C=x=y"],
    cwd: "/tmp",
    terminal: true,
  });
  const { user, capabilities, noNewPrivileges } = PROCESS;
  expect(rest).toMatchObject({ user, capabilities, noNewPrivileges });
});

test("what is not asked for is the container's", () => {
  expect(JSON.parse(render({}))).toMatchObject({ env: PROCESS.env, cwd: "/srv", terminal: false });
});

test("a terminal has its size before the program starts", () => {
  const terminalSize = { columns: 99, rows: 33 };
  expect(JSON.parse(render({ tty: true, terminalSize }))).toMatchObject({ terminal: true, consoleSize: { height: 33, width: 99 } });
});

test("limits keep every digit", () => {
  expect(render({})).toContain('"hard":18446744073709551615');
});

test("a text that was cut off is an error", () => {
  expect(() => containerProcess(configJson(config).slice(0, 200))).toThrow(SyntaxError);
});
