import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_CAPABILITIES, finalCapabilities, KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import type { OciConfig } from "../../src/bundle/oci.ts";
import { type RenderInput, render } from "../../src/bundle/render.ts";
import { ADAPTERS, type App, configOf, type Node, renderInput } from "./rendering.ts";

const RUNS = { numRuns: 400 };
const MAX_ID = 2_147_483_647;

const spelling = fc.constantFrom(...KERNEL_CAPABILITIES).chain((name) => {
  const bare = name.slice("CAP_".length);
  return fc.constantFrom(name, bare, bare.toLowerCase(), ` ${name} `);
});
const names = fc.array(fc.oneof({ weight: 5, arbitrary: spelling }, fc.constantFrom("ALL", "", "KILL", "kill")), { maxLength: 6 });
const capabilities = fc
  .record({ add: names, drop: names, mode: fc.constantFrom("never", "auto", "list"), picked: fc.nat() })
  .map(({ add, drop, mode, picked }) => ({ add, drop, ambient: mode === "list" ? { picked } : mode }));
const id = fc.oneof(fc.constantFrom(0, 1, 1000, MAX_ID), fc.integer({ min: 0, max: MAX_ID }));
const word = fc.string({ unit: fc.constantFrom(..."a b $ ( ) { } = / é \n".split(" "), " "), minLength: 1, maxLength: 8 });
const variable = fc.record({ name: fc.stringMatching(/^[A-Z]{1,2}$/), value: word });

const app: fc.Arbitrary<App> = fc
  .record({
    capabilities,
    runAsUser: fc.option(id, { nil: undefined }),
    runAsGroup: fc.option(id, { nil: undefined }),
    command: fc.array(word, { maxLength: 2 }),
    args: fc.array(word, { maxLength: 2 }),
    env: fc.array(variable, { maxLength: 4 }),
    workingDir: fc.constantFrom("", "/tmp"),
    user: fc.constantFrom("", "0", "7", "7:8", "web", "web:web"),
  })
  .map(({ capabilities, runAsUser, runAsGroup, user, ...container }) => {
    const ambient = typeof capabilities.ambient === "object" ? pick(capabilities, capabilities.ambient.picked) : capabilities.ambient;
    const ids = { ...(runAsUser === undefined ? {} : { runAsUser }), ...(runAsGroup === undefined ? {} : { runAsGroup }) };
    return {
      container: { ...container, securityContext: { capabilities: { ...capabilities, ambient }, ...ids } },
      image: { user, env: ["A=image"] },
      users: { passwd: "web:x:1000:100::/:\n", group: "web:x:100:\nmore:x:9:web\nless:x:3:web\nsome:x:5:web\n" },
    };
  });

const node: fc.Arbitrary<Node> = fc.record({
  adapter: fc.constantFrom(...ADAPTERS),
  capabilityMode: fc.constantFrom("merged", "no-inheritable"),
  ambient: fc.boolean(),
});
const inputs = fc.tuple(fc.array(app, { minLength: 1, maxLength: 3 }), node).map(([apps, where]) => renderInput(apps, where));

/** Some of what is there in the end, which is all that an ambient list may name. */
function pick({ add, drop }: { add: string[]; drop: string[] }, picked: number): string[] {
  const probe = renderInput([{ container: { securityContext: { capabilities: { add, drop } } } }]);
  const [container] = probe.request.spec.containers;
  const there = container ? finalCapabilities(container.securityContext.capabilities) : [];
  return there.filter((_name, index) => ((picked >> (index % 16)) & 1) === 1);
}

const appsOf = (input: RenderInput): OciConfig[] => {
  const result = render(input);
  return input.request.spec.containers.map(({ name }) => configOf(result, name));
};

function within(inner: readonly string[], outer: readonly string[]): boolean {
  return inner.every((name) => outer.includes(name));
}

test("rendering twice gives the same bytes and the same report", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      expect(render(structuredClone(input))).toStrictEqual(render(input));
    }),
    RUNS,
  );
});

test("nothing in a spec changes a byte of pause", () => {
  const plain = new Map(ADAPTERS.map((adapter) => [adapter, render(renderInput([{}], { adapter })).bundles[0]?.configJson]));
  fc.assert(
    fc.property(inputs, (input) => {
      const [pause] = render(input).bundles;
      expect(pause?.container).toBe("pause");
      expect(pause?.configJson).toBe(plain.get(input.adapter));
    }),
    RUNS,
  );
});

test("bounding, permitted and effective are one list; ambient ⊆ inheritable ⊆ bounding; no name twice", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      for (const { process } of appsOf(input)) {
        const { bounding, permitted, effective, inheritable, ambient = [] } = process.capabilities;
        expect(permitted).toEqual(bounding);
        expect(effective).toEqual(bounding);
        expect(inheritable).toEqual(input.capabilityMode === "merged" ? bounding : ambient);
        expect(within(ambient, inheritable) && within(inheritable, bounding)).toBe(true);
        for (const list of [bounding, ambient]) expect(new Set(list).size).toBe(list.length);
      }
    }),
    RUNS,
  );
});

test("no capability is there that is neither default nor added, none that was dropped", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      for (const [index, { process }] of appsOf(input).entries()) {
        const asked = input.request.spec.containers[index]?.securityContext.capabilities;
        const added = asked?.add.includes("ALL") ? KERNEL_CAPABILITIES : (asked?.add ?? []);
        const { bounding } = process.capabilities;
        expect(within(bounding, [...DEFAULT_CAPABILITIES, ...added])).toBe(true);
        expect(bounding.some((name) => asked?.drop.includes(name))).toBe(false);
        if (asked?.drop.includes("ALL")) expect(within(bounding, asked.add)).toBe(true);
      }
    }),
    RUNS,
  );
});

test("ids are in range and the primary group comes first", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      for (const { process } of appsOf(input)) {
        const { uid, gid, additionalGids = [gid] } = process.user;
        for (const value of [uid, gid, ...additionalGids]) expect(Number.isInteger(value) && value >= 0 && value <= MAX_ID).toBe(true);
        expect(additionalGids[0]).toBe(gid);
        const [, ...others] = additionalGids;
        expect(others).toEqual([...new Set(others)].filter((value) => value !== gid).toSorted((a, b) => a - b));
      }
    }),
    RUNS,
  );
});

test("what is written is what JSON reads back, numbers beyond 2^53 aside", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      for (const { config, configJson } of render(input).bundles) {
        const { process, ...rest } = config;
        const { process: read, ...restRead } = JSON.parse(configJson) as OciConfig;
        expect(restRead).toEqual(rest);
        expect({ ...read, rlimits: [] }).toEqual({ ...process, rlimits: [] });
      }
    }),
    { numRuns: 200 },
  );
});

test("what is not enforced is warned about, once for each entry", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const { enforcement, warnings } = render(input);
      expect(warnings).toHaveLength(enforcement.filter((entry) => !entry.enforced).length);
    }),
    { numRuns: 200 },
  );
});
