// `npm run quickstart`, `npm test`, `npm run test:conformance`, `npm run test:long`, `npm run test:faults` and `npm run bench`: makes the
// machine ready under whatever Node started this, then goes on under the pinned Node.
import { readdirSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { STATIC_CHECKS, runChecks } from "./test/checks.mjs";
import { runVitest } from "./test/vitest.mjs";
import { installCompiler, installOciSchema, OCI_SCHEMA } from "./setup/debian.mjs";
import { SetupError } from "./setup/tools.mjs";
import { currentRunsc, NoGoError } from "./runsc-current.mjs";
import { ROOT, setup } from "./setup.mjs";
import { runToEnd } from "./test/processes.mjs";

process.chdir(ROOT);
process.env["PATH"] = [join(ROOT, "node_modules/.bin"), process.env["PATH"]].join(delimiter);

/** @type {Record<string, (args: string[]) => Promise<number>>} */
const COMMANDS = {
  quickstart: (args) => runProgram("src/dev/quickstart.ts", args),
  bench: (args) => runProgram("src/dev/bench.ts", args),
  check: async () => ((await runChecks(STATIC_CHECKS)) === 0 ? 0 : 1),
  conformance: runConformance,
  test: runTests,
  long: runProperties,
  faults: runFaults,
};

/** @param {string} line */
function say(line) {
  console.error(`setup: ${line}`);
}

/** @param {string} file @param {string[]} args */
async function runProgram(file, args) {
  await setup();
  return runToEnd("node", [file, ...args]);
}

/** Against the schema of Debian's package when no other is named.
 * @param {string[]} args */
async function runConformance(args) {
  await setup();
  const isNamed = args.some((arg) => arg === "--oci-schema" || arg.startsWith("--oci-schema="));
  if (!isNamed) installOciSchema(say);
  return runToEnd("node", ["src/dev/conformance.ts", ...(isNamed ? [] : ["--oci-schema", OCI_SCHEMA]), ...args]);
}

/** Every check, then every test; all run even when one fails, so that one run shows all.
 * @param {string[]} args For vitest: with any, only those tests run. */
async function runTests(args) {
  await setup();
  installCompiler(say);
  const env = { ...process.env, BERTH_TEST_RUNSC_CURRENT: findCurrentRunsc() };
  const failedChecks = args.length > 0 ? 0 : await runChecks(STATIC_CHECKS);
  const tests = await runVitest(args, env);
  // A failed check counts as a failed test: the line must not look green when the run is not.
  const failed = tests.failed + failedChecks;
  console.log(`\n${tests.passed} passed, ${failed} failed`);
  return failed === 0 && tests.ok ? 0 : 1;
}

/** Cases of each property in a long run. */
const LONG_RUNS = 100_000;

/** The properties that are tried as often as one says, with very many cases. */
async function runProperties() {
  await setup();
  const tests = readdirSync("test", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".test.ts"));
  const files = tests.map((name) => join("test", name)).filter((file) => readFileSync(file, "utf8").includes("support/property.ts"));
  const env = { ...process.env, BERTH_TEST_RUNS: String(LONG_RUNS) };
  return runToEnd("vitest", ["run", "--project", "unit", "--maxWorkers=100%", "--testTimeout", String(60 * 60_000), ...files], env);
}

/** Every point of every operation in every class, of which `npm test` takes a spread, and what takes long besides.
 * @param {string[]} args For vitest: such as -t "under crun". */
async function runFaults(args) {
  await setup();
  const env = { ...process.env, BERTH_TEST_RUNSC_CURRENT: findCurrentRunsc(), BERTH_TEST_FAULTS: "all" };
  return runToEnd("vitest", ["run", "--project", "integration", "test/integration/faults", ...args], env);
}

/** Path of the current runsc, or nothing where it cannot be built; in CI that is an error. */
function findCurrentRunsc() {
  try {
    return currentRunsc(say);
  } catch (error) {
    if (!(error instanceof SetupError) || process.env["CI"] === "true") throw error;
    const why = error instanceof NoGoError ? error.message : `it could not be built: ${error.message}`;
    console.error(`only one runsc is tested, the one on PATH, and not the current release (${why})`);
    return "";
  }
}

const [name = "", ...args] = process.argv.slice(2);
const command = COMMANDS[name];
try {
  if (command === undefined) throw new SetupError(`usage: run.mjs ${Object.keys(COMMANDS).join("|")} [ARGUMENT...]`);
  process.exitCode = await command(args);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
