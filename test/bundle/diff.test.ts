import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type DiffBundle, type DiffValue, diffBundles, originsOfWritten } from "../../src/bundle/diff.ts";
import { explain, type Origin } from "../../src/bundle/explain.ts";
import { configJson, type OciConfig, parseExact, stringifyExact } from "../../src/bundle/oci.ts";
import { leaves, pointerOf } from "../../src/bundle/pointer.ts";
import { type RenderInput, render } from "../../src/bundle/render.ts";
import { inputs } from "./arbitraries.ts";
import { type App, type Node, renderInput } from "./rendering.ts";

function bundlesOf(input: RenderInput): DiffBundle[] {
  return render(input).bundles.map(({ container, config, configJson }) => ({
    container,
    configJson,
    provenance: explain(input, container, config),
  }));
}

/** The same sandbox on another node, as another one of its kind. */
function elsewhere(input: RenderInput): RenderInput {
  const at = (kind: string): string => `/srv/run/ns/${"e".repeat(32)}/${kind}`;
  return {
    ...input,
    pause: { id: "e".repeat(32), rootfs: "/srv/pause" },
    places: new Map([...input.places.keys()].map((name, index) => [name, { id: `${index}`.padStart(32, "f"), rootfs: `/srv/${name}` }])),
    namespaces: { net: at("net"), ipc: at("ipc"), uts: at("uts") },
    cgroup: undefined,
  };
}

const compare = (a: App, b: App, node: Node = {}) => diffBundles(bundlesOf(renderInput([a], node)), bundlesOf(renderInput([b], node)));
const shown = (value: DiffValue | undefined): string =>
  value === undefined ? "-" : `${value.pointer} ${stringifyExact(value.value)} (${value.origin?.kind}: ${value.origin?.source})`;
const lines = (a: App, b: App, node: Node = {}): string[] =>
  compare(a, b, node).differences.map((difference) => {
    const about = difference.entries.length > 0 ? ` [${difference.entries.join(", ")}]` : "";
    return `${difference.container}${about} ${shown(difference.a)} → ${shown(difference.b)}`;
  });

const secured = (securityContext: object): App => ({ container: { securityContext } });

describe("each value that is not the same is told with both origins", () => {
  test("a user, and the groups that come with it", () => {
    expect(lines({}, secured({ runAsUser: 1000 }))).toEqual([
      "c0 /process/user/uid 0 (default: root) → /process/user/uid 1000 (request: spec.containers[0].securityContext.runAsUser)",
      "c0 - → /process/user/additionalGids/0 0 (image: group of user 1000 in /etc/passwd (0 when it has none) of the image config that was given)",
    ]);
  });

  test("members of a set, wherever they stand", () => {
    const [a, b] = [
      secured({ capabilities: { add: ["CHOWN", "NET_ADMIN"], drop: ["KILL"] } }),
      secured({ capabilities: { add: ["NET_ADMIN", "CHOWN"] } }),
    ];
    const added = (set: string): string => `c0 - → /process/capabilities/${set}/1 "CAP_KILL" (default: capabilities of every container)`;
    expect(lines(a, b)).toEqual(["bounding", "effective", "inheritable", "permitted"].map(added));
  });

  test("a set that is empty on one side is told by its members only", () => {
    const drop = secured({ capabilities: { drop: ["ALL"] } });
    const one = secured({ capabilities: { drop: ["ALL"], add: ["CHOWN"] } });
    expect(lines(drop, one)).toHaveLength(4);
    expect(lines(drop, one)[0]).toMatch(/^c0 - → \/process\/capabilities\/bounding\/0 "CAP_CHOWN"/);
    expect(lines(drop, one, { adapter: "runc", capabilityMode: "no-inheritable" })).toHaveLength(3);
  });

  test("variables by name, words in their order", () => {
    const env = (...names: string[]) => names.map((name) => ({ name, value: name.toLowerCase() }));
    const a = { container: { command: ["a", "b"], env: env("X", "Y") } };
    const b = { container: { command: ["b", "a"], env: [...env("Y", "X").slice(0, 1), { name: "X", value: "z" }] } };
    expect(lines(a, b)).toEqual([
      `c0 /process/args/0 "a" (request: spec.containers[0].command[0]) → /process/args/0 "b" (request: spec.containers[0].command[0])`,
      `c0 /process/args/1 "b" (request: spec.containers[0].command[1]) → /process/args/1 "a" (request: spec.containers[0].command[1])`,
      `c0 /process/env/1 "X=x" (request: spec.containers[0].env[0]) → /process/env/2 "X=z" (request: spec.containers[0].env[1])`,
    ]);
  });

  test("rules of seccomp by what they do, names of system calls as sets", () => {
    const profile = secured({ seccompProfile: { type: "RuntimeDefault" } });
    const more = secured({ seccompProfile: { type: "RuntimeDefault" }, capabilities: { add: ["SYS_PTRACE"] } });
    const seccomp = compare(profile, more).differences.filter(({ b }) => b?.pointer.startsWith("/linux/seccomp"));
    expect(seccomp.length).toBeGreaterThan(0);
    for (const { entries, a, b } of seccomp) {
      expect({ entries, a }).toEqual({ entries: ["SCMP_ACT_ALLOW"], a: undefined });
      expect(b?.origin?.source).toContain("system calls that CAP_SYS_PTRACE is for");
    }
    expect(seccomp.map(({ b }) => b?.value)).toContain("kcmp");
  });

  test("mounts by destination, numbers with all their digits", () => {
    const app = (change: (config: OciConfig) => void): DiffBundle[] => {
      const config = structuredClone(render(renderInput([{}], { adapter: "runsc" })).bundles[1]?.config as OciConfig);
      change(config);
      return [{ container: "c0", configJson: configJson(config), provenance: [] }];
    };
    const found = diffBundles(
      app(() => undefined),
      app(({ mounts, process }) => {
        mounts.reverse();
        mounts[0]?.options.reverse();
        mounts.splice(1, 0, { destination: "/data", type: "tmpfs", source: "tmpfs", options: [] });
        const limit = process.rlimits.find(({ type }) => type === "RLIMIT_AS");
        if (limit) limit.soft = 2n ** 64n - 2n;
      }),
    ).differences.map(({ entries, a, b }) => [entries.join(), a?.value, b?.pointer, b?.value]);
    expect(found).toEqual([
      ["RLIMIT_AS", 2n ** 64n - 1n, "/process/rlimits/0/soft", 2n ** 64n - 2n],
      ["/data", undefined, "/mounts/1/destination", "/data"],
      ["/data", undefined, "/mounts/1/type", "tmpfs"],
      ["/data", undefined, "/mounts/1/source", "tmpfs"],
      ["/data", undefined, "/mounts/1/options", []],
    ]);
  });
});

test("containers that only one side has are named", () => {
  const [one, two] = [renderInput([{}]), renderInput([{}, {}])].map(bundlesOf);
  expect(diffBundles(one ?? [], two ?? [])).toEqual({ differences: [], onlyInA: [], onlyInB: ["c1"] });
  expect(diffBundles(two ?? [], one ?? [])).toEqual({ differences: [], onlyInA: ["c1"], onlyInB: [] });
});

test("ids and places do not count, whether the runtime uses cgroups neither", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      expect(diffBundles(bundlesOf(input), bundlesOf(elsewhere(input)))).toEqual({ differences: [], onlyInA: [], onlyInB: [] });
    }),
    { numRuns: 200 },
  );
});

test("the other way round the same differences are told, with the sides changed", () => {
  const pointers = ({ a, b }: { a: DiffValue | undefined; b: DiffValue | undefined }) => `${shown(a)} → ${shown(b)}`;
  fc.assert(
    fc.property(inputs, inputs, (one, other) => {
      const [a, b] = [bundlesOf(one), bundlesOf(other)];
      const [there, back] = [diffBundles(a, b), diffBundles(b, a)];
      expect(back.differences.map(({ a, b }) => pointers({ a: b, b: a })).toSorted()).toEqual(there.differences.map(pointers).toSorted());
      expect([back.onlyInA, back.onlyInB]).toEqual([there.onlyInB, there.onlyInA]);
    }),
    { numRuns: 100 },
  );
});

/** The bundle with another value at the path, and origins of what is still as it was rendered. */
function tampered(bundle: DiffBundle, path: readonly string[]): DiffBundle {
  const config = parseExact(bundle.configJson) as Record<string, unknown>;
  const parent = path.slice(0, -1).reduce<Record<string, unknown>>((inner, key) => inner[key] as Record<string, unknown>, config);
  parent[path.at(-1) ?? ""] = "tampered";
  const configJson = stringifyExact(config);
  return { ...bundle, configJson, provenance: originsOfWritten(configJson, bundle) };
}

test("whatever value somebody changes on the node, placement too, it is told, and only it has no origin", () => {
  const securityContext = {
    runAsUser: 1000,
    capabilities: { add: ["NET_ADMIN"], ambient: "auto" },
    seccompProfile: { type: "RuntimeDefault" },
  };
  for (const bundle of bundlesOf(renderInput([{ container: { securityContext, args: ["x"] } }], { digest: "sha256:d" }))) {
    for (const { path } of leaves(JSON.parse(bundle.configJson))) {
      const changed = tampered(bundle, path);
      const { differences } = diffBundles([bundle], [changed]);
      const pointer = pointerOf(path);
      // What a rule of seccomp does says which rule it is.
      const told = differences.filter(({ entries, b }) => b?.value === "tampered" || entries.some((entry) => entry.includes("tampered")));
      expect(told, pointer).not.toEqual([]);
      expect(changed.provenance.map((origin) => origin.pointer)).not.toContain(pointer);
    }
    // Of rules of seccomp that are one, one is enough.
    const outside = (origins: readonly Origin[]) => origins.filter(({ pointer }) => !pointer.startsWith("/linux/seccomp"));
    const rest = outside(bundle.provenance).filter(({ pointer }) => pointer !== "/process/cwd");
    expect(outside(tampered(bundle, ["process", "cwd"]).provenance)).toEqual(rest);
  }
});

test("lists that no renderer would write are compared as well", () => {
  const bundle = (config: object): DiffBundle => ({ container: "web", configJson: JSON.stringify(config), provenance: [] });
  const values = (a: object, b: object) => diffBundles([bundle(a)], [bundle(b)]).differences.map(({ a, b }) => [a?.value, b?.value]);
  expect(values({ process: { env: ["A=1", "A=2"] } }, { process: { env: ["A=1", "A=3"] } })).toEqual([["A=2", "A=3"]]);
  expect(values({ mounts: [1, null, { destination: "/a" }] }, { mounts: [null, { destination: "/a" }] })).toEqual([[1, undefined]]);
  expect(values({ mounts: {} }, { mounts: [] })).toEqual([[{}, []]]);
  expect(values({ mounts: [] }, {})).toEqual([[[], undefined]]);
  expect(values({ linux: { seccomp: { syscalls: [1, { names: 7 }] } } }, { linux: { seccomp: { syscalls: [{ names: [] }] } } })).toEqual([
    [1, undefined],
    [7, []],
  ]);
  expect(() => diffBundles([bundle({})], [{ ...bundle({}), configJson: "{" }])).toThrow(SyntaxError);
});
