import { chmodSync, chownSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { faultsIn } from "../../src/sandbox/faults.ts";
import { makeScratch } from "../support/scratch.ts";

test("a line acts at its point alone, from when the file has it; points may hold blanks", async () => {
  using scratch = makeScratch();
  const file = join(scratch.path, "faults");
  const faults = faultsIn(file);
  await faults("create/app-start web/before");
  writeFileSync(file, "trace\nfail create/app-start web/before\n0 stop/end/after\n");
  await expect(faults("create/app-start web/before")).rejects.toThrow("fault at create/app-start web/before");
  await faults("create/app-start web/after");
  await faults("create/app-start/before");
  await faults("stop/end/after");
  expect(readFileSync(`${file}.trace`, "utf8")).toBe(
    "create/app-start web/before\ncreate/app-start web/after\ncreate/app-start/before\nstop/end/after\n",
  );
  writeFileSync(file, "explode create/end/before\n");
  await expect(faults("create/end/before")).rejects.toThrow('no action "explode"');
});

test("a file that others than root may write is refused", async () => {
  using scratch = makeScratch();
  const file = join(scratch.path, "faults");
  writeFileSync(file, "");
  chmodSync(file, 0o622);
  await expect(faultsIn(file)("create/end/before")).rejects.toThrow("must be root's");
  chmodSync(file, 0o600);
  chownSync(file, 1000, 0);
  await expect(faultsIn(file)("create/end/before")).rejects.toThrow("must be root's");
});
