/** The programs of test/fixtures, compiled on this machine when first needed. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const FIXTURES = fileURLToPath(new URL("../../fixtures/", import.meta.url));
const CACHE = fileURLToPath(new URL("../../../node_modules/.cache/berth-test/", import.meta.url));
const COMPILE = ["-std=c17", "-O1", "-static", "-Wall", "-Wextra", "-Werror"];

/** Path of a program that runs in any rootfs. One of other sources or flags is another file, so what was compiled once is never stale. */
export function staticProgram(name: string): string {
  const source = join(FIXTURES, name, `${name}.c`);
  const hash = createHash("sha256").update(COMPILE.join(" "));
  for (const file of [source, join(FIXTURES, "inside.h")]) hash.update(readFileSync(file));
  const program = join(CACHE, `${name}-${hash.digest("hex").slice(0, 16)}`);
  if (!existsSync(program)) {
    mkdirSync(dirname(program), { recursive: true });
    // Two runs side by side may both compile it; neither sees a half of it.
    const own = `${program}.${process.pid}`;
    execFileSync("gcc", [...COMPILE, "-o", own, source], { stdio: ["ignore", "pipe", "pipe"] });
    renameSync(own, program);
  }
  return program;
}
