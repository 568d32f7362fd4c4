import { expect, test } from "vitest";
import { explain } from "../../src/bundle/explain.ts";
import { render } from "../../src/bundle/render.ts";
import { readSandboxDocument } from "../../src/sandbox/document.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { ADAPTERS, configOf, refusal, renderApps, renderInput } from "../bundle/rendering.ts";

const request = (annotations: unknown) => ({
  metadata: { name: "a", annotations },
  spec: { containers: [{ name: "a", image: "oci:/a" }] },
});
const parsed = (annotations: unknown) => parseSandboxRequest(request(annotations)).metadata.annotations;
const faults = (annotations: unknown) =>
  refusal(() => parsed(annotations)).detail.violations?.map(({ field, rule, allowed }) => {
    expect(allowed).not.toBe("");
    return `${field} ${rule}`;
  });
const pod = (annotations: unknown) =>
  readSandboxDocument(
    JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "a", annotations },
      spec: { restartPolicy: "Never", containers: [{ name: "a", image: "oci:/a" }] },
    }),
    "pod.json",
  );

/** Settings of runtimes and engines, as an author might write them. */
const RESERVED = [
  "dev.gvisor.internal/strace",
  "dev.gvisor.flag.host-uds",
  "dev.berth.owner",
  "io.kubernetes.cri.container-type",
  "io.kubernetes.cri-o.userns-mode",
  "org.systemd.property.DeviceAllow",
  "io.katacontainers.config.hypervisor.path",
  "run.oci.keep_original_groups",
];
const OLD = [
  "container.apparmor.security.beta.kubernetes.io/app",
  "container.seccomp.security.alpha.kubernetes.io/app",
  "seccomp.security.alpha.kubernetes.io/pod",
  "security.alpha.kubernetes.io/sysctls",
];

test("any value is taken under a key of Kubernetes' syntax", () => {
  const free = { "example.com/a_B.c": "", plain: "é\n{}", "kubernetes.io/x": "1", "dev.gvisorous/x": "1", "run.ocicle": "2" };
  expect(parsed(free)).toEqual(free);
  expect(parsed(undefined)).toEqual({});
});

test.each(RESERVED)("%s is refused, of a Sandbox and of a Pod", (key) => {
  expect(faults({ ok: "1", [key]: "true" })).toEqual([`metadata.annotations.${key} is reserved: runtimes read settings there`]);
  expect(refusal(() => pod({ [key]: "true" })).detail.violations).toMatchObject([
    { field: `metadata.annotations[${key}]`, rule: "is reserved: runtimes read settings there" },
  ]);
});

test.each(OLD)("%s asks for a security setting and is not ignored", (key) => {
  expect(faults({ [key]: "runtime/default" })).toEqual([
    `metadata.annotations.${key} is a security setting of old, which berth does not read`,
  ]);
  expect(refusal(() => pod({ [key]: "localhost/x" })).detail.violations).toMatchObject([
    { field: `metadata.annotations[${key}]`, rule: "is not implemented by berth yet", allowed: "the field of securityContext" },
  ]);
});

test.each([
  [{ "": "a" }, "metadata.annotations. is not an annotation key"],
  [{ "a b": "a" }, "metadata.annotations.a b is not an annotation key"],
  [{ "UPPER.example/x": "a" }, "metadata.annotations.UPPER.example/x is not an annotation key"],
  [{ a: 1 }, "metadata.annotations.a Invalid input: expected string, received number"],
  [{ a: "x\0" }, "metadata.annotations.a contains a NUL character"],
  [[], "metadata.annotations Invalid input: expected record, received array"],
])("%j is refused", (annotations, fault) => {
  expect(faults(annotations)).toEqual([fault]);
});

test("all together have at most 256 KiB", () => {
  const most = { a: "x".repeat(256 * 1024 - 1) };
  expect(parsed(most)).toEqual(most);
  expect(faults({ ...most, b: "" })).toEqual(["metadata.annotations are too long together"]);
});

test("they stand in the bundle of each app, sorted, beside berthd's own, and never in pause's", () => {
  for (const adapter of ADAPTERS) {
    const input = renderInput([{}, {}], { adapter });
    const metadata = { ...input.request.metadata, annotations: { z: "1", "a/b": "2" } };
    const annotated = { ...input, request: { ...input.request, metadata } };
    const [before, after] = [render(input), render(annotated)];
    expect(after.bundles[0]?.configJson).toBe(before.bundles[0]?.configJson);
    for (const name of ["c0", "c1"]) {
      const [plain, config] = [configOf(before, name), configOf(after, name)];
      expect(Object.entries(config.annotations)).toEqual([...Object.entries(plain.annotations), ["a/b", "2"], ["z", "1"]]);
      expect(explain(annotated, name, config)).toContainEqual({
        pointer: "/annotations/a~1b",
        kind: "request",
        source: "metadata.annotations[a/b]",
      });
    }
  }
  expect(renderApps([{}]).warnings).toEqual([]);
});

test("those of a Pod never get there, which is said", () => {
  const { request: read, warnings } = pod({ "kubectl.kubernetes.io/last-applied-configuration": "{}" });
  expect(read.metadata.annotations).toEqual({});
  expect(warnings).toEqual([expect.stringMatching(/^metadata\.annotations of a Pod .* does not keep them/)]);
  expect(pod(null).warnings).toEqual([]);
  expect(refusal(() => pod([])).detail.violations).toMatchObject([{ field: "metadata.annotations", rule: "is not an object" }]);
  expect(refusal(() => pod({ a: 1 })).detail.violations).toMatchObject([{ field: "metadata.annotations[a]", rule: "is not a text" }]);
});
