// What is checked without running berth: form, rules, types, arrows between rooms, dead code, the contract.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capture } from "./processes.mjs";

/** @typedef {{ title: string, run: () => Promise<{ code: number, output: string }> }} Check */

/** @type {readonly Check[]} */
export const STATIC_CHECKS = [
  { title: "format", run: () => capture("biome", ["format", "--reporter=summary"]) },
  { title: "lint", run: () => capture("oxlint", ["--type-aware", "--deny-warnings"]) },
  { title: "types", run: () => capture("tsc", ["--noEmit"]) },
  { title: "types of the development scripts", run: () => capture("tsc", ["--noEmit", "-p", "src/dev"]) },
  { title: "import directions", run: () => capture("depcruise", ["--config", ".dependency-cruiser.mjs", "src"]) },
  { title: "dead code", run: () => capture("knip", ["--no-progress"]) },
  { title: "protobuf lint", run: () => capture("buf", ["lint"]) },
  { title: "generated code is what buf generates", run: diffGenerated },
];

/** Runs checks in order, a line for each and the output of those that fail; answers how many failed.
 * @param {readonly Check[]} checks */
export async function runChecks(checks) {
  let failed = 0;
  for (const { title, run } of checks) {
    const started = performance.now();
    const { code, output } = await run();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${code === 0 ? "ok    " : "FAILED"} ${title} (${seconds} s)`);
    if (code !== 0) {
      failed += 1;
      console.log(output.trimEnd());
    }
  }
  return failed;
}

/** Generates into a folder of its own, so that a check never writes into the tree. */
async function diffGenerated() {
  const folder = mkdtempSync(join(tmpdir(), "berth-generate-"));
  try {
    const generated = await capture("buf", ["generate", "--output", folder]);
    if (generated.code !== 0) return generated;
    const diff = await capture("diff", ["-ru", "src/gen", join(folder, "src/gen")]);
    return diff.code === 0 ? diff : { code: 1, output: `${diff.output}\nsrc/gen is not what proto/ says: npm run generate` };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
