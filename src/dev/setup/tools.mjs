// What the parts of setup share: looking for commands, running them quietly, one kind of error.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Something that a person has to put right; the text says what. */
export class SetupError extends Error {}

/** Folders of system commands: a service's or a plain user's PATH may lack the sbin ones. */
const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Path of a command, or undefined.
 * @param {string} name
 * @param {string} [path] */
export function findCommand(name, path = process.env["PATH"] ?? "") {
  const folders = [...path.split(delimiter).filter((folder) => folder.startsWith("/")), ...SYSTEM_FOLDERS];
  return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return existsSync(file);
  } catch {
    return false;
  }
}

/** Runs a command and returns its output; what it printed is shown only when it failed.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs?: number }} [options] */
export function run(command, args, { cwd, env = process.env, timeoutMs = 900_000 } = {}) {
  const done = spawnSync(command, args, {
    cwd,
    env,
    timeout: timeoutMs,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 << 20,
  });
  if (done.error === undefined && done.status === 0) return done.stdout;
  const why = done.error?.message ?? `exit code ${done.status ?? done.signal}`;
  throw new SetupError(`${command} ${args.join(" ")} failed (${why})\n${shorten(`${done.stdout ?? ""}${done.stderr ?? ""}`)}`);
}

/** Some tools say why at the beginning, others at the end. @param {string} output */
function shorten(output) {
  const lines = output.trim().split("\n");
  return (lines.length <= 30 ? lines : [...lines.slice(0, 15), "...", ...lines.slice(-15)]).join("\n");
}

/** Throws unless this is root; names what would have been installed.
 * @param {string} what */
export function requireRoot(what) {
  if (process.getuid?.() !== 0) throw new SetupError(`must be root to install what is missing: ${what}`);
}
