import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

/** Runs the conformance check with folders of these files. */
function conformance(files: Readonly<Record<string, unknown>>, ...args: readonly string[]): { code: number | null; output: string } {
  const folder = mkdtempSync(join(tmpdir(), "berth-conformance-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), JSON.stringify(content));
  }
  const given = args.map((arg) => arg.replace("FOLDER", folder));
  const { status, stdout, stderr } = spawnSync(process.execPath, ["src/dev/conformance.ts", ...given], { encoding: "utf8" });
  return { code: status, output: `${stdout}${stderr}`.replaceAll(folder, "FOLDER") };
}

const pod = (spec: object) => ({ apiVersion: "v1", kind: "Pod", metadata: { name: "a" }, spec: { containers: [{ name: "a" }], ...spec } });

test("Pods that come out as their folder says pass, and the others are named", () => {
  const right = { "p/baseline/pass/a.yaml": pod({}), "p/baseline/fail/a.yaml": pod({ hostPID: true }) };
  const passed = conformance({ ...right, "p/restricted/fail/a.yaml": pod({}) }, "--pod-security", "FOLDER/p");
  expect(passed).toEqual({ code: 0, output: "ok     Pods against the Pod Security Standards in FOLDER/p: 3 cases, 0 failures\n" });
  const wrong = { "p/baseline/pass/b.yaml": pod({ hostIPC: true }), "p/baseline/fail/b.yaml": pod({}), "p/baseline/pass/c.yaml": [] };
  const failed = conformance({ ...right, ...wrong }, "--pod-security", "FOLDER/p");
  expect(failed.code).toBe(1);
  expect(failed.output).toContain(
    "FAILED FOLDER/p/baseline/pass/b.yaml: spec.hostIPC: baseline does not admit it (Host Namespaces) (found true)\n",
  );
  expect(failed.output).toContain("FAILED FOLDER/p/baseline/fail/b.yaml: is admitted\n");
  expect(failed.output).toContain("FAILED FOLDER/p/baseline/pass/c.yaml: cannot be read: ");
  expect(failed.output).toContain("5 cases, 3 failures\n");
});

test("bundles are held against a schema of draft 4 whose files name each other", () => {
  const draft = "http://json-schema.org/draft-04/schema#";
  const defs = { definitions: { text: { type: "string" }, number: { type: "integer" } } };
  const schema = (kind: string) => ({
    $schema: draft,
    type: "object",
    properties: { ociVersion: { $ref: `defs.json#/definitions/${kind}` } },
  });
  const good = conformance({ "s/config-schema.json": schema("text"), "s/defs.json": { $schema: draft, ...defs } }, "--oci-schema=FOLDER/s");
  expect(good.code).toBe(0);
  expect(good.output).toMatch(/^ok {5}bundles against the OCI runtime schema in FOLDER\/s: \d{2,} cases, 0 failures\n/);
  const bad = conformance({ "s/config-schema.json": schema("number"), "s/defs.json": defs }, "--oci-schema=FOLDER/s");
  expect(bad.code).toBe(1);
  expect(bad.output).toMatch(/^FAILED bundles-fixtures\/.*\/config\.json: \/ociVersion must be integer\n/);
});

test("a folder without cases, or without a schema, is a failure", () => {
  expect(conformance({ "p/x": 1 }, "--pod-security", "FOLDER/p")).toMatchObject({ code: 1 });
  const { code, output } = conformance({}, "--oci-schema", "FOLDER");
  expect({ code, output }).toEqual({ code: 1, output: "conformance: FOLDER has no config-schema.json\n" });
});
