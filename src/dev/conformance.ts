/**
 * `npm run test:conformance -- [--oci-schema DIR] [--pod-security DIR]`: holds berth against what others wrote down. Every bundle of
 * bundles-fixtures/ against the JSON schema of the OCI runtime specification, and every level of policy/ against folders of Pods,
 * LEVEL/pass/*.yaml to be admitted and LEVEL/fail/*.yaml to be refused. A line for each failure, exit code 1 when there are any.
 */

import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Ajv } from "ajv";
import { LEVELS, type Level } from "../policy/control.ts";
import { levelViolations } from "../policy/levels.ts";
import { examineDocument } from "../sandbox/examine.ts";

/** What was looked at, and a line for each that is wrong. */
interface Outcome {
  readonly title: string;
  readonly cases: number;
  readonly failures: readonly string[];
}

function bundlesAgainstSchema(schemaFolder: string): Outcome {
  const validate = ociValidator(schemaFolder);
  const files = globSync("bundles-fixtures/*/*/*/config.json").sort();
  const failures = files.flatMap((file) => validate(JSON.parse(readFileSync(file, "utf8"))).map((fault) => `${file}: ${fault}`));
  return { title: `bundles against the OCI runtime schema in ${schemaFolder}`, cases: files.length, failures };
}

/** The schema is of draft 4, of which it uses only what later drafts have too. Its files name each other by file name. */
function ociValidator(folder: string): (config: unknown) => string[] {
  if (!existsSync(join(folder, "config-schema.json"))) throw new Error(`${folder} has no config-schema.json`);
  const ajv = new Ajv({ strict: false, allErrors: true });
  for (const file of jsonFiles(folder)) {
    const { $schema: _draft, ...schema } = JSON.parse(readFileSync(join(folder, file), "utf8")) as Record<string, unknown>;
    ajv.addSchema(schema, file);
  }
  const validate = ajv.getSchema("config-schema.json");
  if (validate === undefined) throw new Error(`the schema in ${folder} cannot be compiled`);
  return (config) => {
    if (validate(config) === true) return [];
    return (validate.errors ?? []).map(
      ({ instancePath, message = "is wrong" }) => `${instancePath === "" ? "/" : instancePath} ${message}`,
    );
  };
}

function jsonFiles(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.endsWith(".json"));
}

function podsAgainstLevels(folder: string): Outcome {
  const cases = LEVELS.flatMap((level) =>
    (["pass", "fail"] as const).flatMap((wanted) =>
      globSync(join(folder, level, wanted, "*.yaml"))
        .sort()
        .map((file) => podFailures(file, level, wanted)),
    ),
  );
  return { title: `Pods against the Pod Security Standards in ${folder}`, cases: cases.length, failures: cases.flat() };
}

function podFailures(file: string, level: Level, wanted: "pass" | "fail"): string[] {
  const { pod, faults } = examineDocument(readFileSync(file, "utf8"), basename(file));
  if (pod === undefined) return [`${file}: cannot be read: ${faults.map(({ field, rule }) => `${field} ${rule}`).join(", ")}`];
  const violations = levelViolations(pod, level);
  if (wanted === "fail") return violations.length > 0 ? [] : [`${file}: is admitted`];
  return violations.map(({ field, rule, value }) => `${file}: ${field}: ${rule} (found ${value})`);
}

/** A folder without cases is a failure: nobody gives one on purpose. */
function report({ title, cases, failures }: Outcome): boolean {
  for (const failure of failures) console.log(`FAILED ${failure}`);
  const ok = cases > 0 && failures.length === 0;
  console.log(`${ok ? "ok    " : "FAILED"} ${title}: ${cases === 0 ? "no cases there" : `${cases} cases, ${failures.length} failures`}`);
  return ok;
}

function conformance(): boolean {
  const { values } = parseArgs({ options: { "oci-schema": { type: "string" }, "pod-security": { type: "string" } } });
  const { "oci-schema": ociSchema, "pod-security": podSecurity } = values;
  const outcomes = [
    ...(ociSchema === undefined ? [] : [bundlesAgainstSchema(resolve(ociSchema))]),
    ...(podSecurity === undefined ? [] : [podsAgainstLevels(resolve(podSecurity))]),
  ];
  if (outcomes.length === 0) throw new Error("neither --oci-schema DIR nor --pod-security DIR is given");
  const passed = outcomes.map(report);
  if (podSecurity === undefined) console.log("not run: Pods against the Pod Security Standards, for want of --pod-security DIR");
  return passed.every(Boolean);
}

try {
  process.exitCode = conformance() ? 0 : 1;
} catch (error) {
  console.error(`conformance: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
