// Runs vitest and counts from its JSON report.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runToEnd } from "./processes.mjs";

/** @typedef {{ status: string, assertionResults: { status: string }[] }} FileReport */

/** @param {readonly string[]} args @param {NodeJS.ProcessEnv} env */
export async function runVitest(args, env) {
  const folder = mkdtempSync(join(tmpdir(), "berth-vitest-"));
  try {
    const report = join(folder, "report.json");
    const code = await runToEnd("vitest", ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...args], env);
    const counts = existsSync(report) ? countReport(JSON.parse(readFileSync(report, "utf8"))) : { passed: 0, failed: 1 };
    return { ok: code === 0, ...counts };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A file that could not even be loaded has no tests in the report and counts as one failure.
 * @param {{ numPassedTests: number, numFailedTests: number, testResults: FileReport[] }} report */
export function countReport({ numPassedTests, numFailedTests, testResults }) {
  const unloaded = testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
  );
  return { passed: numPassedTests, failed: numFailedTests + unloaded.length };
}
