import { expect, test } from "vitest";
import { KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import type { NodeGrants } from "../../src/bundle/enforcement.ts";
import { type App, type Node, renderApps } from "./rendering.ts";

/** A node whose agent has these capabilities, and no limits of its own. */
const grants = (capabilities: readonly string[]): NodeGrants => ({
  capabilities: new Set(capabilities),
  rlimits: new Map(),
  appArmor: true,
});

const ROOT_FIRST = "run as user 0 and let the program drop to its user itself (SETUID, SETGID, SETPCAP)";

function report(capabilities: object, user: { runAsUser?: number; runAsGroup?: number } = {}, node: Node = {}) {
  const { enforcement, warnings } = renderApps([{ container: { securityContext: { capabilities, ...user } } }], node);
  return {
    entries: enforcement.map(({ property, requested, enforced, mechanism }) => [property, requested, enforced, mechanism]),
    warnings,
  };
}
const cleared = (uid: number): string => `execve clears permitted and effective for uid ${uid} unless a capability is ambient`;
const ADD = "securityContext.capabilities.add";
const AMBIENT = "securityContext.capabilities.ambient";

test("nothing asked for, nothing reported", () => {
  const { enforcement, warnings } = renderApps([{}, {}]);
  expect([enforcement, warnings]).toEqual([[], []]);
});

test("each property that was asked for has an entry, with the container's name", () => {
  const app: App = { container: { securityContext: { capabilities: { add: ["CHOWN"], drop: ["KILL"] }, runAsUser: 0, runAsGroup: 5 } } };
  const { enforcement } = renderApps([{}, app]);
  expect(enforcement).toEqual(
    [
      [ADD, "CAP_CHOWN"],
      ["securityContext.capabilities.drop", "CAP_KILL"],
      ["securityContext.runAsUser", "0"],
      ["securityContext.runAsGroup", "5"],
    ].map(([property, requested]) => ({ container: "c1", property, requested, enforced: true, mechanism: "the host's kernel", note: "" })),
  );
});

test("the mechanism is the kernel that does it", () => {
  expect(report({ add: ["CHOWN"] }, {}, { adapter: "crun" }).entries).toEqual([[ADD, "CAP_CHOWN", true, "the host's kernel"]]);
  expect(report({ add: ["CHOWN"] }, {}, { adapter: "runsc" }).entries).toEqual([[ADD, "CAP_CHOWN", true, "the sandbox's own kernel"]]);
});

test.each(["runsc", "runc", "crun"] as const)(
  "%s: adds of a user other than 0 without ambient are not effective, and the warning says what to do",
  (adapter) => {
    const { entries, warnings } = report({ add: ["NET_ADMIN", "SETUID"] }, { runAsUser: 1000 }, { adapter });
    const why = cleared(1000);
    expect(entries[0]).toEqual([ADD, "CAP_NET_ADMIN CAP_SETUID", false, why]);
    expect(warnings).toEqual([
      `container c0: ${ADD} CAP_NET_ADMIN CAP_SETUID is not effective: ${why}; ask for capabilities.ambient: auto, or ${ROOT_FIRST}`,
    ]);
  },
);

test.each([
  { adapter: "runsc" as const, drop: ["ALL"], add: [], isTold: true },
  { adapter: "runsc" as const, drop: ["NET_BIND_SERVICE"], add: [], isTold: true },
  { adapter: "runsc" as const, drop: ["ALL"], add: ["NET_BIND_SERVICE"], isTold: false },
  { adapter: "runsc" as const, drop: ["KILL"], add: [], isTold: false },
  { adapter: "runc" as const, drop: ["ALL"], add: [], isTold: false },
])("$adapter, drop $drop, add $add: that low ports stay open is told: $isTold", ({ adapter, drop, add, isTold }) => {
  const { enforcement } = renderApps([{ container: { securityContext: { capabilities: { add, drop } } } }], { adapter });
  const entry = enforcement.find(({ property }) => property.endsWith(".drop"));
  expect(entry?.note.includes("ports below 1024")).toBe(isTold);
});

test("the image's user counts as much as the request's", () => {
  const { warnings } = renderApps([{ container: { securityContext: { capabilities: { add: ["CHOWN"] } } }, image: { user: "1000:1000" } }]);
  expect(warnings).toHaveLength(1);
});

test("with ambient they are effective; those outside the list are still told", () => {
  expect(report({ add: ["CHOWN"], ambient: "auto" }, { runAsUser: 1 })).toMatchObject({
    entries: [
      [ADD, "CAP_CHOWN", true, "ambient set, the host's kernel"],
      [AMBIENT, "CAP_CHOWN", true, "the host's kernel"],
      ["securityContext.runAsUser", "1", true, "the host's kernel"],
    ],
    warnings: [],
  });
  const { entries } = report({ add: ["CHOWN", "FOWNER"], ambient: ["CHOWN"] }, { runAsUser: 1 });
  expect(entries.slice(0, 2)).toEqual([
    [ADD, "CAP_CHOWN", true, "ambient set, the host's kernel"],
    [ADD, "CAP_FOWNER", false, cleared(1)],
  ]);
});

test("a runsc of before June 2026 ignores ambient: add and ambient are both told, with another way out", () => {
  const { entries, warnings } = report({ add: ["CHOWN"], ambient: "auto" }, { runAsUser: 1 }, { adapter: "runsc", ambient: false });
  expect(entries).toEqual([
    [ADD, "CAP_CHOWN", false, cleared(1)],
    [AMBIENT, "CAP_CHOWN", false, "runsc before June 2026 ignores ambient capabilities"],
    ["securityContext.runAsUser", "1", true, "the sandbox's own kernel"],
  ]);
  expect(warnings).toHaveLength(2);
  for (const warning of warnings) {
    expect(warning).toContain(`this runsc knows no ambient capabilities: ${ROOT_FIRST}, or use a runsc of June 2026 or newer`);
  }
});

test("NET_RAW on runsc is granted by a flag of the whole sandbox, and the report says so", () => {
  const flag = "runsc --net-raw, a flag of the whole sandbox";
  expect(report({ add: ["NET_RAW", "CHOWN"] }, {}, { adapter: "runsc" }).entries).toEqual([
    [ADD, "CAP_CHOWN", true, "the sandbox's own kernel"],
    [ADD, "CAP_NET_RAW", true, flag],
  ]);
  expect(report({ add: ["NET_RAW"], ambient: "auto" }, { runAsUser: 1 }, { adapter: "runsc" }).entries[0]).toEqual([
    ADD,
    "CAP_NET_RAW",
    true,
    `ambient set, ${flag}`,
  ]);
  expect(report({ add: ["NET_RAW"] }, {}, { adapter: "runc" }).entries).toEqual([[ADD, "CAP_NET_RAW", true, "the host's kernel"]]);
});

test("what the node's agent lacks is not enforceable under runc and crun, and of no account to runsc", () => {
  const node = grants(KERNEL_CAPABILITIES.filter((name) => name !== "CAP_SYS_TIME"));
  const wish = { add: ["CHOWN", "SYS_TIME"] };
  for (const adapter of ["runc", "crun"] as const) {
    const { entries, warnings } = report(wish, {}, { adapter, node });
    expect(entries).toEqual([
      [ADD, "CAP_SYS_TIME", false, "not in the node agent's own bounding set"],
      [ADD, "CAP_CHOWN", true, "the host's kernel"],
    ]);
    expect(warnings).toEqual([
      expect.stringMatching(/CAP_SYS_TIME is not effective: .*; give berthd the capability, or use runtime class runsc$/),
    ]);
  }
  expect(report(wish, {}, { adapter: "runsc", node }).warnings).toEqual([]);
  expect(report({ ...wish, drop: ["SYS_TIME"] }, {}, { node }).warnings).toEqual([]);
});

test("a default capability that the agent lacks is told though nobody asked for it", () => {
  const node = grants(KERNEL_CAPABILITIES.filter((name) => name !== "CAP_KILL"));
  const { warnings } = renderApps([{}], { node });
  expect(warnings).toEqual([
    "container c0: securityContext.capabilities CAP_KILL is not effective: not in the node agent's own bounding set; " +
      "every container has it by default: drop it, give berthd the capability, or use runtime class runsc",
  ]);
  expect(report({ drop: ["KILL"] }, {}, { node }).warnings).toEqual([]);
});

test("every warning has a reason and a way out", () => {
  const none = grants([]);
  for (const node of [{ adapter: "runsc", ambient: false }, { adapter: "runc", node: none }, { adapter: "crun" }] satisfies Node[]) {
    const { enforcement } = renderApps(
      [{ container: { securityContext: { runAsUser: 9, capabilities: { add: ["ALL"], ambient: ["CHOWN"] } } } }],
      node,
    );
    const lost = enforcement.filter((entry) => !entry.enforced);
    expect(lost).not.toEqual([]);
    for (const { mechanism, note } of lost) expect([mechanism, note]).not.toContain("");
  }
});
