/** Runtime binaries of a test's own: copies that it may replace, and small scripts that are no good. */

import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, copyFileSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { findBinary } from "../../../src/runtime/binaries.ts";

/** Path of a program on the PATH. */
export const installed = (name: string): string => findBinary(name);

export const hasCurrentRunsc = (): boolean => (process.env["BERTH_TEST_RUNSC_CURRENT"] ?? "") !== "";

/** Puts a program at the path as a package manager does: beside, then renamed over what is there. */
export function install(from: string, path: string, more = ""): void {
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(from, `${path}.new`);
  appendFileSync(`${path}.new`, more);
  chmodSync(`${path}.new`, 0o755);
  renameSync(`${path}.new`, path);
}

/** Puts a script there, of sh unless it says otherwise. */
export function installScript(path: string, text: string, mode = 0o755): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, text.startsWith("#!") || text === "" ? text : `#!/bin/sh\n${text}\n`);
  chmodSync(`${path}.new`, mode);
  renameSync(`${path}.new`, path);
}

/** A real binary with one verb of its that never ends. */
export function installHanging(path: string, real: string, verb: string): void {
  installScript(path, `for word; do [ "$word" = ${verb} ] && exec sleep 1000; done\nexec ${real} "$@"`);
}

/** sha256:HEX, by another program than berthd's. */
export function digestOf(path: string): string {
  return `sha256:${execFileSync("sha256sum", [path], { encoding: "utf8" }).slice(0, 64)}`;
}
