import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { SystemError } from "../../src/host/libc.ts";
import { listMounts } from "../../src/host/mounts.ts";
import { pinNamespaces } from "../../src/host/namespaces.ts";
import { makeScratch } from "../support/scratch.ts";

// The third bind mount fails, as it does when the node has too many mounts, which no test may bring about for real.
vi.mock(import("../../src/host/mounts.ts"), async (original) => {
  const real = await original();
  return {
    ...real,
    bindMount(source: string, target: string) {
      if (target.endsWith("uts")) throw new SystemError("mount", 28, target);
      real.bindMount(source, target);
    },
  };
});

test("when a pin fails half-way, the caller is back in its own namespaces and the pins that were made are gone", () => {
  using scratch = makeScratch();
  const own = (): string[] => ["net", "ipc", "uts"].map((kind) => readlinkSync(`/proc/thread-self/ns/${kind}`));
  const before = own();
  const [net = "", ipc = "", uts = ""] = ["net", "ipc", "uts"].map((kind) => join(scratch.path, kind));
  expect(() => pinNamespaces({ net, ipc, uts })).toThrow(`mount ${uts}: ENOSPC`);
  expect(own()).toEqual(before);
  expect(listMounts(scratch.path)).toEqual([]);
  expect(readdirSync(scratch.path)).toEqual([]);
});
