// node_modules: installed when it is missing or is not what package-lock.json asks for.
import { existsSync, lstatSync, readFileSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { delimiter, join } from "node:path";
import { run } from "./tools.mjs";

/** @typedef {{ version?: string, resolved?: string, integrity?: string, optional?: boolean, link?: boolean }} LockEntry */

/** Whether node_modules differs from package-lock.json. npm writes node_modules/.package-lock.json last, so its
 * content tells what is really installed; times do not (git gives every file the time of its checkout).
 * @param {string} root */
export function modulesAreStale(root) {
  const wanted = readLock(join(root, "package-lock.json"));
  const installed = readLock(join(root, "node_modules/.package-lock.json"));
  if (wanted === undefined) return false;
  if (installed === undefined) return true;
  const gone = Object.keys(installed).some((path) => !(path in wanted) || !existsSync(join(root, path)));
  return gone || Object.entries(wanted).some(([path, entry]) => path !== "" && !isInstalled(entry, installed[path]));
}

/** @param {LockEntry} wanted @param {LockEntry | undefined} installed */
function isInstalled(wanted, installed) {
  // Builds for other systems stand in the lock file as optional and are not installed here.
  if (installed === undefined) return wanted.optional === true;
  return installed.version === wanted.version && installed.integrity === wanted.integrity;
}

/** @param {string} file @returns {Record<string, LockEntry> | undefined} */
function readLock(file) {
  if (!existsSync(file)) return undefined;
  return JSON.parse(readFileSync(file, "utf8")).packages ?? {};
}

/** @param {string} root @param {(line: string) => void} say */
export function installModules(root, say) {
  say("installing node modules (npm ci)");
  // Not through the pinned Node: npm ci takes it away while it runs.
  const path = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => !folder.includes("node_modules"));
  const env = { ...process.env, PATH: path.join(delimiter) };
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: root, env });
}

/** berth's own commands that have no link in node_modules/.bin yet: npm links those of installed packages only, and
 * without a link `npx berth` would ask a registry for a package of that name.
 * @param {string} root */
export function unlinkedCommands(root) {
  /** @type {Record<string, string>} */
  const commands = JSON.parse(readFileSync(join(root, "package.json"), "utf8")).bin ?? {};
  return Object.entries(commands)
    .map(([name, file]) => ({ link: join(root, "node_modules/.bin", name), target: join("../..", file), file: join(root, file) }))
    .filter(({ link, target, file }) => existsSync(file) && !isLinkTo(link, target));
}

/** @param {string} root */
export function linkCommands(root) {
  for (const { link, target } of unlinkedCommands(root)) {
    rmSync(link, { force: true });
    symlinkSync(target, link);
  }
}

/** @param {string} link @param {string} target */
function isLinkTo(link, target) {
  return lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === true && readlinkSync(link) === target;
}
