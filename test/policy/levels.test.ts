import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { LEVELS, type Level } from "../../src/policy/control.ts";
import { CONTROLS, controlViolations, levelViolations, sandboxAsPod } from "../../src/policy/levels.ts";
import { BASELINE_CASES, RESTRICTED_CASES } from "./controls.ts";
import { CONTAINER_LISTS, type Manifest, plainPod, restrictedPod, withField } from "./pods.ts";
import { runs } from "../support/property.ts";

const CASES = [...BASELINE_CASES, ...RESTRICTED_CASES];

function controlNamed(level: Level, name: string) {
  const found = CONTROLS[level].find((control) => control.level === level && control.name === name);
  if (found === undefined) throw new Error(`${level} has no ${name}`);
  return found;
}

const fieldsOf = (pod: unknown, level: Level): string[] => levelViolations(pod, level).map(({ field }) => field);
const admits = (pod: unknown, level: Level): boolean => levelViolations(pod, level).length === 0;

test("the pods that the cases start from are admitted", () => {
  expect(levelViolations(plainPod(), "baseline")).toEqual([]);
  expect(levelViolations(restrictedPod(), "restricted")).toEqual([]);
  expect(admits(plainPod(), "restricted")).toBe(false);
});

describe.each(CASES)("$level: $control: $fields.0", ({ level, control, fields, good, bad }) => {
  const start = level === "baseline" ? plainPod : restrictedPod;

  test("admits what the standard allows", () => {
    for (const field of fields) {
      for (const value of good)
        expect(levelViolations(withField(start(), field, value), level), `${field} ${JSON.stringify(value)}`).toEqual([]);
    }
  });

  test("refuses everything else, and names the field", () => {
    for (const field of fields) {
      for (const value of bad) {
        const pod = withField(start(), field, value);
        const [violation, ...more] = levelViolations(pod, level);
        const about = level === "restricted" && BASELINE_CASES.some((other) => other.control === control) ? expect.any(String) : level;
        expect(violation, `${field} ${JSON.stringify(value)}`).toMatchObject({ field, rule: expect.stringContaining(`(${control})`) });
        expect(violation?.rule.split(" ")[0]).toEqual(about);
        expect(more).toEqual([]);
        expect(controlViolations(pod, controlNamed(level, control))).toHaveLength(1);
        expect(levelViolations(pod, "privileged")).toEqual([]);
      }
    }
  });
});

test("every field of every control has a case that is refused", () => {
  const refused = new Set(
    CASES.filter(({ bad }) => bad.length > 0).flatMap(({ level, control, fields }) =>
      fields.map((field) => `${level} ${control} ${field.replaceAll("[0]", "[*]").replace("kubernetes.io/app", "kubernetes.io/*")}`),
    ),
  );
  const written = CONTROLS.restricted.flatMap(({ level, name, rules }) =>
    rules.flatMap(({ fields }) => fields.map((field) => `${level} ${name} ${field}`)),
  );
  const isVolume = (line: string) => line.startsWith("restricted Volume Types spec.volumes[*]");
  expect([...refused].filter((line) => !isVolume(line)).toSorted()).toEqual(written.filter((line) => !isVolume(line)).toSorted());
});

describe("what a container need not say when the Pod says it", () => {
  const without = (field: string) => withField(restrictedPod(), `spec.securityContext.${field}`, undefined);
  const inContainers = (pod: Manifest, field: string, value: unknown) =>
    CONTAINER_LISTS.reduce((changed, list) => withField(changed, `${list}[0].securityContext.${field}`, value), pod);

  test.each([
    ["runAsNonRoot", "runAsNonRoot", true],
    ["seccompProfile", "seccompProfile.type", "Localhost"],
  ])("%s", (field, leaf, value) => {
    const inEach = CONTAINER_LISTS.map((list) => `${list}[0].securityContext.${leaf}`);
    expect(fieldsOf(without(field), "restricted")).toEqual(inEach);
    expect(fieldsOf(inContainers(without(field), leaf, value), "restricted")).toEqual([]);
    const one = withField(without(field), inEach[0] ?? "", value);
    expect(fieldsOf(one, "restricted")).toEqual(inEach.slice(1));
  });

  test("what the Pod says wrongly is told once", () => {
    const pod = withField(restrictedPod(), "spec.securityContext.runAsNonRoot", false);
    expect(fieldsOf(pod, "restricted")).toEqual(["spec.securityContext.runAsNonRoot"]);
    const overridden = inContainers(pod, "runAsNonRoot", true);
    expect(fieldsOf(overridden, "restricted")).toEqual(["spec.securityContext.runAsNonRoot"]);
  });
});

describe("exceptions", () => {
  test("a Pod in a user namespace may be root in it, and at baseline see all of /proc", () => {
    const pod = withField(withField(plainPod(), "spec.hostUsers", false), "spec.containers[0].securityContext.procMount", "Unmasked");
    expect(fieldsOf(pod, "baseline")).toEqual([]);
    expect(fieldsOf(withField(pod, "spec.hostUsers", true), "baseline")).toEqual(["spec.containers[0].securityContext.procMount"]);
    expect(fieldsOf(pod, "restricted")).toContain("spec.containers[0].securityContext.procMount");
    const root = withField(
      withField(restrictedPod(), "spec.securityContext.runAsNonRoot", undefined),
      "spec.containers[0].securityContext.runAsUser",
      0,
    );
    expect(admits(root, "restricted")).toBe(false);
    expect(admits(withField(root, "spec.hostUsers", false), "restricted")).toBe(true);
    expect(admits(withField(root, "spec.hostUsers", "false"), "restricted")).toBe(false);
  });

  test("a Windows Pod need not have what only Linux has, and must still be what baseline asks for", () => {
    const windows = {
      ...plainPod(),
      spec: { containers: [{ name: "app" }], os: { name: "windows" }, securityContext: { runAsNonRoot: true } },
    };
    expect(fieldsOf(windows, "restricted")).toEqual([]);
    expect(fieldsOf(withField(windows, "spec.os.name", "linux"), "restricted")).toHaveLength(3);
    expect(fieldsOf(withField(windows, "spec.securityContext.runAsNonRoot", undefined), "restricted")).toHaveLength(1);
    const adds = withField(windows, "spec.containers[0].securityContext.capabilities.add[0]", "SYS_ADMIN");
    expect(fieldsOf(adds, "restricted")).toEqual(["spec.containers[0].securityContext.capabilities.add[0]"]);
    const unconfined = withField(windows, "spec.securityContext.seccompProfile.type", "Unconfined");
    expect(fieldsOf(unconfined, "restricted")).toEqual(["spec.securityContext.seccompProfile.type"]);
  });
});

test("of a field that both levels refuse the narrower one tells what is allowed", () => {
  const pod = withField(restrictedPod(), "spec.containers[0].securityContext.capabilities.add[0]", "SYS_ADMIN");
  expect(levelViolations(pod, "restricted")).toEqual([
    {
      field: "spec.containers[0].securityContext.capabilities.add[0]",
      rule: "restricted does not admit it (Capabilities)",
      value: '"SYS_ADMIN"',
      allowed: "NET_BIND_SERVICE",
    },
  ]);
});

test.each([
  ["spec", 1, "is not an object"],
  ["spec.containers", { app: {} }, "is not a list"],
  ["spec.initContainers[0]", "init", "is not an object"],
  ["spec.containers[0].securityContext", [], "is not an object"],
  ["spec.containers[0].securityContext.capabilities.add", "CHOWN", "is not a list"],
  ["spec.containers[0].securityContext.seccompProfile", "Unconfined", "is not an object"],
  ["spec.securityContext.appArmorProfile", ["Unconfined"], "is not an object"],
  ["spec.volumes", "hostPath", "is not a list"],
  ["metadata.annotations", ["x"], "is not an object"],
])("%s that is %j is refused, not passed over", (field, value, rule) => {
  expect(levelViolations(withField(plainPod(), field, value), "baseline")).toContainEqual({
    field,
    rule,
    value: JSON.stringify(value),
    allowed: rule === "is not a list" ? "a list" : "an object",
  });
});

test("a volume that names no type is an emptyDir, and one that is no object is refused", () => {
  expect(fieldsOf(withField(restrictedPod(), "spec.volumes[0].name", "a"), "restricted")).toEqual([]);
  expect(fieldsOf(withField(restrictedPod(), "spec.volumes[0]", "hostPath"), "restricted")).toEqual(["spec.volumes[0]"]);
  // Kubernetes takes one type a volume; two are no way around.
  const two = withField(withField(restrictedPod(), "spec.volumes[0].emptyDir", {}), "spec.volumes[0].nfs", {});
  expect(fieldsOf(two, "restricted")).toEqual(["spec.volumes[0].nfs"]);
});

describe("a Sandbox in the shape of a Pod", () => {
  const sandbox = (add: unknown) => ({
    metadata: { name: "a" },
    spec: { containers: [{ name: "a", securityContext: { capabilities: { add } } }] },
  });

  test("its capabilities may be written in every way that berth reads", () => {
    expect(fieldsOf(sandboxAsPod(sandbox(["chown", "CAP_KILL", " Cap_Mknod ", "", "  "])), "baseline")).toEqual([]);
    expect(fieldsOf(sandboxAsPod(sandbox(["", "net_raw", "cap_sys_admin", "all", "no such"])), "baseline")).toEqual(
      [1, 2, 3, 4].map((index) => `spec.containers[0].securityContext.capabilities.add[${index}]`),
    );
  });

  test("a parsed one is judged as the document is", () => {
    const request = parseSandboxRequest({
      metadata: { name: "a" },
      spec: {
        containers: [{ name: "a", image: "oci:/a", securityContext: { capabilities: { add: ["net_admin", "chown"], drop: ["all"] } } }],
      },
    });
    expect(fieldsOf(sandboxAsPod(request), "baseline")).toEqual(["spec.containers[0].securityContext.capabilities.add[0]"]);
    expect(fieldsOf(sandboxAsPod(request), "restricted")).not.toContain("spec.containers[0].securityContext.capabilities.drop");
  });

  test("another shape is left for the level to refuse", () => {
    for (const value of [undefined, null, 1, [], { spec: 1 }, { spec: { containers: 1 } }, sandbox("CHOWN"), sandbox([1])])
      expect(sandboxAsPod(value)).toEqual(value);
  });
});

const JUNK = [null, true, false, 0, 1, "", "x", [], {}, [null], ["ALL"], { type: "Localhost" }];
const mutation = fc
  .constantFrom(...CASES)
  .chain(({ fields, good, bad }) => fc.tuple(fc.constantFrom(...fields), fc.constantFrom(...good, ...bad, ...JUNK)));
const changed = fc
  .tuple(
    fc.constantFrom(plainPod, restrictedPod),
    fc.array(mutation, { maxLength: 4 }),
    fc.constantFrom(undefined, true, false),
    fc.boolean(),
  )
  .map(([start, mutations, hostUsers, windows]) => {
    const fields: [string, unknown][] = [...mutations, ["spec.hostUsers", hostUsers], ["spec.os.name", windows ? "windows" : undefined]];
    return fields.reduce((pod, [field, value]) => withField(pod, field, value), start());
  });

test("what restricted admits baseline admits, and what baseline admits privileged admits", () => {
  let admitted = 0;
  fc.assert(
    fc.property(changed, (pod) => {
      const [privileged, baseline, restricted] = LEVELS.map((level) => new Set(fieldsOf(pod, level)));
      expect(privileged?.size).toBe(0);
      expect([...(baseline ?? [])].filter((field) => !restricted?.has(field))).toEqual([]);
      if (restricted?.size === 0) admitted += 1;
    }),
    runs(3000),
  );
  expect(admitted).toBeGreaterThan(100);
});

test("a level answers for whatever it is given", () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.anything()), fc.constantFrom("spec", "metadata", "spec.containers"), (value, at) => {
      for (const level of LEVELS) {
        for (const pod of [value, withField(plainPod(), at, value)])
          for (const violation of levelViolations(pod, level)) expect(violation.value.length).toBeLessThanOrEqual(200);
      }
    }),
    runs(1000),
  );
});
