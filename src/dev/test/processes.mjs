// Running the tools of the checks and tests.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { stripVTControlCharacters } from "node:util";

/** Runs a command on this terminal and answers its exit code. Signals go to it, and it decides how to end.
 * @param {string} command @param {readonly string[]} args @param {NodeJS.ProcessEnv} [env] @returns {Promise<number>} */
export function runToEnd(command, args, env = process.env) {
  const child = spawn(command, args, { env, stdio: "inherit" });
  // The terminal sends its own interrupt to the child too; a TERM only reaches us.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? "SIGKILL"]));
  });
}

/** Runs a command and answers its exit code and all that it printed.
 * @param {string} command @param {readonly string[]} args @returns {Promise<{ code: number, output: string }>} */
export function capture(command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ code: 1, output: error.message }));
    // Some tools colour what goes into a pipe when CI is set.
    child.on("close", (code) => resolve({ code: code ?? 1, output: stripVTControlCharacters(output) }));
  });
}
