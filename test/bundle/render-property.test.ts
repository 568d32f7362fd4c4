import * as fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULT_CAPABILITIES, KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import type { OciConfig } from "../../src/bundle/oci.ts";
import { type RenderInput, render } from "../../src/bundle/render.ts";
import { parseSandboxRequest, type SandboxRequest } from "../../src/sandbox/spec.ts";
import { askedCapabilities } from "../../src/bundle/security.ts";
import { inputs, MAX_ID } from "./arbitraries.ts";
import { ADAPTERS, configOf, renderInput } from "./rendering.ts";
import { runs } from "../support/property.ts";

const RUNS = runs(400);

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

/** By these runsc knows the memory volumes of its apps; they stand last among the annotations. */
const SHARED_MOUNTS = /,\n +"dev\.gvisor\.spec\.mount\.[^\n]*"(?=,?\n)/g;

test("nothing in a spec changes a byte of pause, but that runsc's names the memory volumes that apps share", () => {
  const plain = new Map(ADAPTERS.map((adapter) => [adapter, render(renderInput([{}], { adapter })).bundles[0]?.configJson]));
  fc.assert(
    fc.property(inputs, (input) => {
      const [pause] = render(input).bundles;
      expect(pause?.container).toBe("pause");
      expect(pause?.configJson.replace(SHARED_MOUNTS, "")).toBe(plain.get(input.adapter));
      if (input.adapter !== "runsc") expect(pause?.configJson).not.toContain("dev.gvisor.");
    }),
    RUNS,
  );
});

/** The request as a document whose containers, and which itself, say only this about security. */
function withSecurity({ metadata, spec }: SandboxRequest, sandbox: object, container: object): SandboxRequest {
  const {
    securityContext: _common,
    containers,
    ...rest
  } = JSON.parse(JSON.stringify(spec)) as { securityContext: object; containers: object[] };
  const plain = containers.map((each) => ({ ...each, securityContext: undefined, ...container }));
  return parseSandboxRequest({ metadata, spec: { ...rest, ...sandbox, containers: plain } });
}

test("an empty security context, of either level, changes nothing", () => {
  const capabilities = { add: [], drop: ["", " "], ambient: "never" };
  fc.assert(
    fc.property(inputs, (input) => {
      const none = render({ ...input, request: withSecurity(input.request, {}, {}) });
      for (const securityContext of [{}, { capabilities }]) {
        const empty = withSecurity(input.request, { securityContext: {} }, { securityContext });
        expect(render({ ...input, request: empty })).toStrictEqual(none);
      }
    }),
    RUNS,
  );
});

/** Every array and object in it. */
function parts(value: unknown): object[] {
  if (typeof value !== "object" || value === null) return [];
  return [value, ...Object.values(value).flatMap(parts)];
}

test("no two containers, sets or renderings share an array or object, whatever is asked for", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const all = [render(input), render(input)].flatMap(({ bundles }) => bundles.flatMap(({ config }) => parts(config)));
      expect(new Set(all).size).toBe(all.length);
    }),
    runs(200),
  );
});

test("no spec takes a mask or a read-only mount of the baseline from an app", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const [pause, ...apps] = render(input).bundles.map(({ config }) => config);
      for (const { linux, mounts } of apps) {
        expect(mounts).toEqual(expect.arrayContaining(pause?.mounts ?? []));
        const { maskedPaths, readonlyPaths, namespaces } = pause?.linux ?? {};
        expect(linux).toMatchObject({ namespaces, ...(maskedPaths ? { maskedPaths, readonlyPaths } : {}) });
      }
    }),
    runs(200),
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
        const context = input.request.spec.containers[index]?.securityContext;
        const asked = context && askedCapabilities(context);
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
    runs(200),
  );
});

test("what is not enforced is warned about, once for each entry", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const { enforcement, warnings } = render(input);
      expect(warnings).toHaveLength(enforcement.filter((entry) => !entry.enforced).length);
    }),
    runs(200),
  );
});
