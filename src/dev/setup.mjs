// Installs what berth's quickstart, tests and bench need on this machine, and only what is missing.
// Plain JavaScript that Node 20 runs: at this point node_modules, and with it the pinned Node, may not be there.
import { fileURLToPath } from "node:url";
import { installDebianPackages, missingDebianPackages } from "./setup/debian.mjs";
import { withSetupLock } from "./setup/lock.mjs";
import { installModules, linkCommands, modulesAreStale, unlinkedCommands } from "./setup/modules.mjs";
import { installRunsc, runscState } from "./setup/runsc.mjs";
import { SetupError } from "./setup/tools.mjs";

/** The top of the checkout. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Makes the machine ready; says a line for each thing it really does, and nothing when all is there.
 * @param {(line: string) => void} [say] */
export async function setup(say = (line) => console.error(`setup: ${line}`)) {
  requireNode20();
  if (isReady()) return;
  await withSetupLock(say, () => {
    // Looked at again: another setup may have done it while this one waited for the lock.
    if (modulesAreStale(ROOT)) installModules(ROOT, say);
    linkCommands(ROOT);
    const packages = missingDebianPackages();
    if (packages.length > 0) installDebianPackages(packages, say);
    if (runscState().kind === "missing") installRunsc(say);
  });
}

/** Whether nothing is left to do; a runsc that is too old is an error, since nobody but its owner may replace it. */
function isReady() {
  const runsc = runscState();
  if (runsc.kind === "unusable") throw new SetupError(runsc.why);
  return !modulesAreStale(ROOT) && unlinkedCommands(ROOT).length === 0 && missingDebianPackages().length === 0 && runsc.kind === "good";
}

function requireNode20() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 20) throw new SetupError(`Node ${process.versions.node} is too old to start with: version 20 or newer is needed`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await setup();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`setup: ${error.message}`);
    process.exitCode = 1;
  }
}
