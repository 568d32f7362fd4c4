import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listMounts, unmount } from "../../src/host/mounts.ts";

/** A folder of its own for one test: `using scratch = makeScratch()`. What is mounted in it at the end is unmounted. */
export function makeScratch(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "berth-test-"));
  return {
    path,
    [Symbol.dispose]() {
      listMounts(path).forEach(unmount);
      rmSync(path, { recursive: true, force: true });
    },
  };
}
