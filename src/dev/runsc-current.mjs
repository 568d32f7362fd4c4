// Builds the runsc release that users run today (Debian's is of 2024) from Go's module proxy into a cache folder outside
// the tree, so that integration tests can run on both. Prints the path of the binary as the last line of stdout.
// Exit code 3: no Go of 1.26 or newer here.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findCommand, run, SetupError } from "./setup/tools.mjs";

const RELEASE = "20260905";
const MODULE = "gvisor.dev/gvisor/runsc";
const MODULE_VERSION = "v0.0.0-20260905035102-160fafc42237";
const OLDEST_GO = 26;
const EXIT_NO_GO = 3;

/** There is no Go here that could build it. */
export class NoGoError extends SetupError {}

/** Path of the current runsc; builds it when it is not in the cache.
 * @param {(line: string) => void} [say] */
export function currentRunsc(say = (line) => console.error(line)) {
  const folder = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), `berth/runsc-${RELEASE}`);
  const file = join(folder, "runsc");
  if (existsSync(file)) return file;
  const go = findGo();
  say(`building runsc release-${RELEASE} from source, once (about 100 s)`);
  build(go, folder, file);
  return file;
}

/** Builds beside the target and renames at the end: who builds at the same time, or dies half-way, breaks nothing.
 * @param {string} go @param {string} folder @param {string} file */
function build(go, folder, file) {
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, "build-"));
  try {
    writeFileSync(join(work, "go.mod"), "module berth.invalid/runsc\n");
    const version = `-X gvisor.dev/gvisor/runsc/version.version=release-${RELEASE}.0`;
    const env = { ...process.env, CGO_ENABLED: "0", GOBIN: work };
    run(go, ["install", "-ldflags", `-s -w ${version}`, `${MODULE}@${MODULE_VERSION}`], { cwd: work, env, timeoutMs: 1_800_000 });
    const printed = run(join(work, "runsc"), ["--version"], { timeoutMs: 20_000 });
    if (!printed.includes(`release-${RELEASE}`)) throw new SetupError(`the built runsc says it is ${printed.split("\n")[0]}`);
    chmodSync(join(work, "runsc"), 0o755);
    renameSync(join(work, "runsc"), file);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function findGo() {
  const go = findCommand("go") ?? findCommand("go", "/usr/local/go/bin");
  if (go === undefined) throw new NoGoError(`no Go here: 1.${OLDEST_GO} or newer builds runsc release-${RELEASE}`);
  const found = run(go, ["env", "GOVERSION"]).trim();
  const minor = Number(/^go1\.(\d+)/.exec(found)?.[1] ?? 0);
  if (minor < OLDEST_GO) throw new NoGoError(`${go} is ${found}: 1.${OLDEST_GO} or newer builds runsc release-${RELEASE}`);
  return go;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(currentRunsc());
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exitCode = error instanceof NoGoError ? EXIT_NO_GO : 1;
  }
}
