import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { BerthError } from "../errors.ts";

/** Mount points of the default mounts: the root is read-only, so that a runtime cannot make them. */
const FOLDERS = ["dev", "proc", "sys"];

/**
 * Makes the root filesystem that every pause container shares: the pause program at /pause and empty folders.
 * Throws RuntimeUnusable when the program is not there.
 */
export function preparePauseRootfs(rootfs: string, binary: string): void {
  if (!existsSync(binary)) {
    throw new BerthError(
      "RuntimeUnusable",
      `the pause program ${binary} is missing: install catatonit, or name a static program with pauseBinary in berth.yaml`,
    );
  }
  mkdirSync(rootfs, { recursive: true, mode: 0o755 });
  for (const folder of FOLDERS) mkdirSync(join(rootfs, folder), { recursive: true, mode: 0o755 });
  const pause = join(rootfs, "pause");
  if (existsSync(pause) && readFileSync(pause).equals(readFileSync(binary))) return;
  // Renamed into place: running pauses keep the file that they were started from.
  const temporary = join(dirname(rootfs), "pause.tmp");
  rmSync(temporary, { force: true });
  copyFileSync(binary, temporary);
  chmodSync(temporary, 0o755);
  renameSync(temporary, pause);
}
