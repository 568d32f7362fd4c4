/** Faults that a test asks for, in a file that no caller of the API reaches. Without the flag that names one there are none. */

import { appendFileSync, existsSync, readFileSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { BerthError } from "../errors.ts";

/** Called before and after each step of an operation, with a point such as `create/rootfs/before` or `stop/end/after`. */
export type Faults = (point: string) => void | Promise<void>;

export const noFaults: Faults = () => undefined;

/**
 * Reads the file at each point: it may come, change and go. A line is `ACTION POINT`; actions are kill (SIGKILL to berthd), stop
 * (SIGSTOP), fail, and a number of milliseconds to wait. The line `trace` writes every point that is passed to FILE.trace.
 * Throws when others than root may write the file.
 */
export function faultsIn(file: string): Faults {
  return async (point) => {
    for (const line of linesOf(file)) {
      const [action = "", ...words] = line.split(" ");
      if (line === "trace") appendFileSync(`${file}.trace`, `${point}\n`);
      else if (words.join(" ") === point) await act(action, point);
    }
  };
}

function linesOf(file: string): string[] {
  if (!existsSync(file)) return [];
  const { uid, mode } = statSync(file);
  if (uid !== 0 || (mode & 0o022) !== 0) throw new Error(`the fault file ${file} must be root's, and nobody else may write it`);
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

async function act(action: string, point: string): Promise<void> {
  if (action === "kill") process.kill(process.pid, "SIGKILL");
  else if (action === "stop") process.kill(process.pid, "SIGSTOP");
  else if (action === "fail") throw new BerthError("Internal", `fault at ${point}`);
  else if (/^\d+$/.test(action)) await sleep(Number(action));
  else throw new Error(`the fault file has no action ${JSON.stringify(action)}`);
}
