import { expect, test } from "vitest";
import { leadsThroughProc } from "../../src/bundle/process.ts";
import type { ImageConfig } from "../../src/image/image.ts";
import { ADAPTERS, refusal, renderApp, renderApps } from "./rendering.ts";

const IMAGE = { entrypoint: ["entry", "point"], cmd: ["cmd"] };
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const process = (container: object, image: Partial<ImageConfig> = {}) => renderApp({ container, image }).process;

test.each([
  ["neither", {}, ["entry", "point", "cmd"]],
  ["command alone drops Cmd", { command: ["a"] }, ["a"]],
  ["args alone keep Entrypoint", { args: ["b", "c"] }, ["entry", "point", "b", "c"]],
  ["both win", { command: ["a"], args: ["b"] }, ["a", "b"]],
])("args: %s", (_title, container, expected) => {
  expect(process(container, IMAGE).args).toEqual(expected);
});

test("args: an image with one of the two", () => {
  expect(process({}, { entrypoint: ["e"], cmd: [] }).args).toEqual(["e"]);
  expect(process({ args: ["a"] }, { entrypoint: [], cmd: ["c"] }).args).toEqual(["a"]);
});

test("nothing to run is refused at the field where the program would stand", () => {
  const error = refusal(() => renderApps([{}, { image: { entrypoint: [], cmd: [] } }]));
  expect(error.reason).toBe("InvalidRequest");
  expect(error.detail.violations).toEqual([
    {
      field: "spec.containers[1].command",
      rule: "is empty and the image has neither Entrypoint nor Cmd",
      value: "[]",
      allowed: "the program to run",
    },
  ]);
});

test("a NUL in the image's Cmd, which would cut the argument, is refused", () => {
  expect(refusal(() => process({}, { cmd: ["a\0b"] })).reason).toBe("ImageInvalid");
});

test("$(VAR) is expanded in command, args and later variables from the request's env, never in what the image says", () => {
  const env = [
    { name: "HOST", value: "h" },
    { name: "URL", value: "http://$(HOST)/$(LATE)/$(IMAGE)" },
    { name: "LATE", value: "l" },
  ];
  const { args, env: written } = process({ command: ["$(HOST)"], args: ["$(URL)"], env }, { env: ["IMAGE=$(HOST)"] });
  expect(args).toEqual(["h", "http://h/$(LATE)/$(IMAGE)"]);
  expect(written).toEqual([PATH, "IMAGE=$(HOST)", "HOST=h", "URL=http://h/$(LATE)/$(IMAGE)", "LATE=l"]);
  expect(process({ env }, { entrypoint: ["$(HOST)"], cmd: ["$(HOST)"] }).args).toEqual(["$(HOST)", "$(HOST)"]);
});

// Tables of k8s.io/kubernetes/third_party/forked/golang/expansion.
test.each([
  ["$(A)", "x"],
  ["_$(A)_$(A)", "_x_x"],
  ["$(MISSING)", "$(MISSING)"],
  ["$$(A)", "$(A)"],
  ["$$$(A)", "$x"],
  ["$$$$(A)", "$$(A)"],
  ["$A ${A} $", "$A ${A} $"],
  ["$(A", "$(A"],
  ["$()", "$()"],
  ["$(A$(A))", "$(A$(A))"],
  ["$(B)", "$(A)"],
  ["foo$$bar", "foo$bar"],
  ["$(constructor)", "$(constructor)"],
])("%j is expanded to %j", (text, expected) => {
  const env = [
    { name: "A", value: "x" },
    { name: "B", value: "$$(A)" },
  ];
  expect(process({ command: [text], env }).args).toEqual([expected]);
});

test("env: default PATH, image, request; a later value stands in the earlier one's place", () => {
  expect(process({}).env).toEqual([PATH]);
  expect(process({ env: [{ name: "A", value: "3" }, { name: "C" }] }, { env: ["A=1", "PATH=/bin", "B=x=y", "A=2"] }).env).toEqual([
    "PATH=/bin",
    "A=3",
    "B=x=y",
    "C=",
  ]);
});

test.each(["A", "=1", "", "A=\0"])("an image's Env entry %j is refused", (entry) => {
  expect(refusal(() => process({}, { env: [entry] })).reason).toBe("ImageInvalid");
});

test("cwd: request, image, /", () => {
  expect(process({}).cwd).toBe("/");
  expect(process({}, { workingDir: "/srv/a..b" }).cwd).toBe("/srv/a..b");
  expect(process({ workingDir: "/tmp" }, { workingDir: "/proc" }).cwd).toBe("/tmp");
});

test.each(["srv", "/proc", "//proc/self", "/./proc/x", "/a/../proc", "/proc/self/fd/7/../../../..", "/a\0"])(
  "an image's WorkingDir %j is refused",
  (workingDir) => {
    const error = refusal(() => process({}, { workingDir }));
    expect(error.reason).toBe("ImageInvalid");
    expect(error.message).toContain("workingDir");
  },
);

test("only what comes to the root's proc leads through it", () => {
  for (const path of ["/", "/process", "/srv/proc", "/proc2", "/../srv", "/..proc"]) expect(leadsThroughProc(path), path).toBe(false);
  for (const path of ["/proc", "/../proc/x", "/proc/..", "/a/b/../../proc/../.."]) expect(leadsThroughProc(path), path).toBe(true);
});

test("rlimits: 1024 files; every limit where a runtime lets them leak, pause included", () => {
  for (const adapter of ADAPTERS) {
    const { bundles } = renderApps([{}], { adapter });
    for (const { config, configJson } of bundles) {
      const { rlimits } = config.process;
      expect(rlimits).toContainEqual({ type: "RLIMIT_NOFILE", hard: 1024n, soft: 1024n });
      expect(rlimits).toHaveLength(adapter === "runsc" ? 16 : 1);
      // RLIM_INFINITY is no exact number in JavaScript: 18446744073709552000 would be read as another limit or refused.
      if (adapter === "runsc") expect(configJson).toContain('"hard": 18446744073709551615,');
    }
  }
});

test("nobody is given a terminal", () => {
  expect(process({}).terminal).toBe(false);
});
