import { expect, test } from "vitest";
import type { NodeGrants } from "../../src/bundle/enforcement.ts";
import { explain } from "../../src/bundle/explain.ts";
import { normalizeRlimit, RLIMIT_TYPES } from "../../src/bundle/rlimits.ts";
import { ADAPTERS, configOf, type Node, refusal, renderApp, renderApps, renderInput, requestOf } from "./rendering.ts";

const NOFILE = { type: "NOFILE", soft: 100, hard: 200 };
const CORE = { type: "RLIMIT_CORE", soft: 0, hard: "unlimited" };

test("names are the kernel's, with RLIMIT_ or without it, in upper case", () => {
  expect(RLIMIT_TYPES).toHaveLength(16);
  for (const type of RLIMIT_TYPES) {
    expect(normalizeRlimit(type)).toBe(type);
    expect(normalizeRlimit(type.slice("RLIMIT_".length))).toBe(type);
  }
  for (const name of ["nofile", "RLIMIT_", "", "RLIMIT_RLIMIT_CORE", "RLIMIT_OFILE", " CORE", "toString"]) {
    expect(normalizeRlimit(name), name).toBeUndefined();
  }
});

test("what is asked for replaces a limit in its place or follows after, and pause has what it always has", () => {
  const asked = { container: { rlimits: [CORE, NOFILE, { type: "CPU", soft: -1, hard: -1 }] } };
  expect(renderApp(asked).process.rlimits).toEqual([
    { type: "RLIMIT_NOFILE", hard: 200n, soft: 100n },
    { type: "RLIMIT_CORE", hard: 2n ** 64n - 1n, soft: 0n },
    { type: "RLIMIT_CPU", hard: 2n ** 64n - 1n, soft: 2n ** 64n - 1n },
  ]);
  const all = renderApp(asked, { adapter: "runsc" }).process.rlimits;
  expect(all.map(({ type }) => type)).toEqual(RLIMIT_TYPES);
  expect(all).toContainEqual({ type: "RLIMIT_NOFILE", hard: 200n, soft: 100n });
  for (const adapter of ADAPTERS) {
    const [before, after] = [renderApps([{}], { adapter }), renderApps([asked], { adapter })];
    expect(after.bundles[0]?.configJson).toBe(before.bundles[0]?.configJson);
  }
});

test.each([
  [{ type: "RLIMIT_X", soft: 1, hard: 1 }, "rlimits[0].type: is not a limit of the kernel", '"RLIMIT_X"'],
  [{ type: "nofile", soft: 1, hard: 1 }, "rlimits[0].type: is not a limit of the kernel", '"nofile"'],
  [{ type: "CPU", soft: 2, hard: 1 }, "rlimits[0].soft: is above the hard limit", "2"],
  [{ type: "CPU", soft: "unlimited", hard: 1 }, "rlimits[0].soft: is above the hard limit", '"unlimited"'],
  [{ type: "CPU", soft: -2, hard: 1 }, "rlimits[0].soft: is not a limit", "-2"],
  [{ type: "CPU", soft: 1, hard: "1" }, "rlimits[0].hard: is not a limit", '"1"'],
  [{ type: "CPU", soft: 1, hard: 1.5 }, "rlimits[0].hard: is not a limit", "1.5"],
  [{ type: "CPU", soft: 1, hard: 2 ** 64 }, "rlimits[0].hard: is not a limit", "18446744073709552000"],
  [{ type: "CPU", soft: 1 }, "rlimits[0].hard: is required", "nothing"],
  [{ type: "CPU", soft: 1, hard: 1, value: 1 }, "rlimits[0].value: is not a field that berth knows", "1"],
])("%j is refused", (limit, fault, value) => {
  const { detail } = refusal(() => requestOf([{ rlimits: [limit] }]));
  expect(detail.violations?.map((found) => [`${found.field}: ${found.rule}`, found.value])).toEqual([
    [`spec.containers[0].${fault}`, value],
  ]);
  expect(detail.violations?.[0]?.allowed).not.toBe("");
});

test("a limit that is named twice is refused, however it is spelt", () => {
  const { detail } = refusal(() => requestOf([{ rlimits: [NOFILE, CORE, { type: "RLIMIT_NOFILE", soft: 1, hard: 1 }] }]));
  expect(detail.violations).toMatchObject([
    { field: "spec.containers[0].rlimits[2].type", rule: "is set by another entry", value: '"RLIMIT_NOFILE"' },
  ]);
});

const report = (containers: readonly object[], node: Node) =>
  renderApps(
    containers.map((container) => ({ container })),
    node,
  ).enforcement.map(({ container, property, requested, enforced, mechanism }) => [container, property, requested, enforced, mechanism]);

test("runc and crun hold each container to its own, up to what the node's agent may give", () => {
  const grants: NodeGrants = { capabilities: new Set(), rlimits: new Map([["RLIMIT_NOFILE", 199n]]), appArmor: false };
  const dropAll = { securityContext: { capabilities: { drop: ["ALL"] } } };
  for (const adapter of ["runc", "crun"] as const) {
    const byKernel = [true, "the host's kernel"];
    expect(report([{ rlimits: [NOFILE] }, { rlimits: [CORE] }], { adapter })).toEqual([
      ["c0", "rlimits[0]", "RLIMIT_NOFILE 100:200", ...byKernel],
      ["c1", "rlimits[0]", "RLIMIT_CORE 0:unlimited", ...byKernel],
    ]);
    const limited = report([{ ...dropAll, rlimits: [NOFILE, CORE] }], { adapter, node: grants }).slice(1);
    expect(limited).toEqual([
      ["c0", "rlimits[0]", "RLIMIT_NOFILE 100:200", false, "above the node agent's own hard limit, 199"],
      ["c0", "rlimits[1]", "RLIMIT_CORE 0:unlimited", ...byKernel],
    ]);
  }
});

test("under runsc a limit holds when every container of the sandbox has it", () => {
  const node: Node = { adapter: "runsc" };
  const cpu = { type: "CPU", soft: 5, hard: 6 };
  const byKernel = [true, "the sandbox's own kernel"];
  expect(report([{ rlimits: [NOFILE] }], node)).toEqual([["c0", "rlimits[0]", "RLIMIT_NOFILE 100:200", ...byKernel]]);
  expect(report([{ rlimits: [NOFILE] }, { rlimits: [cpu, { ...NOFILE, type: "RLIMIT_NOFILE" }] }], node)).toEqual([
    ["c0", "rlimits[0]", "RLIMIT_NOFILE 100:200", ...byKernel],
    ["c1", "rlimits[0]", "RLIMIT_CPU 5:6", false, expect.stringMatching(/it reaches every container$/)],
    ["c1", "rlimits[1]", "RLIMIT_NOFILE 100:200", ...byKernel],
  ]);
  const usual = { type: "NOFILE", soft: 1024, hard: 1024 };
  expect(report([{ rlimits: [usual] }, {}], node)).toEqual([["c0", "rlimits[0]", "RLIMIT_NOFILE 1024:1024", ...byKernel]]);
  expect(report([{ rlimits: [NOFILE] }, {}], node)).toEqual([
    ["c0", "rlimits[0]", "RLIMIT_NOFILE 100:200", false, expect.stringMatching(/that of the container started last counts$/)],
  ]);
});

test("each limit that was asked for says so, the others what they are there for", () => {
  for (const adapter of ADAPTERS) {
    const input = renderInput([{ container: { rlimits: [CORE, NOFILE] } }], { adapter });
    const config = configOf(renderApps([{ container: { rlimits: [CORE, NOFILE] } }], { adapter }), "c0");
    const origins = new Map(explain(input, "c0", config).map(({ pointer, kind, source }) => [pointer, `${kind}: ${source}`]));
    for (const [index, { type }] of config.process.rlimits.entries()) {
      const asked = ["RLIMIT_CORE", "RLIMIT_NOFILE"].indexOf(type);
      for (const field of ["type", "hard", "soft"]) {
        const origin = origins.get(`/process/rlimits/${index}/${field}`);
        if (asked < 0) expect(origin).toMatch(/^runtime: runsc/);
        else expect(origin).toBe(`request: spec.containers[0].rlimits[${asked}]`);
      }
    }
  }
});
