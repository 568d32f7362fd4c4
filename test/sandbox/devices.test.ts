import { execFileSync } from "node:child_process";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readDevices } from "../../src/sandbox/devices.ts";
import { refusal, requestOf } from "../bundle/rendering.ts";
import { makeScratch } from "../support/scratch.ts";

const specOf = (...paths: string[]) =>
  requestOf([{ devices: paths.map((path, index) => ({ path, containerPath: `/dev/x${index}` })) }]).spec;

test("a device has its type, its numbers, however large, and its permissions", () => {
  using scratch = makeScratch();
  const [char, block] = [join(scratch.path, "char"), join(scratch.path, "block")];
  execFileSync("mknod", ["-m", "640", char, "c", "10", "229"]);
  execFileSync("mknod", ["-m", "600", block, "b", "4095", "1048575"]);
  const owner = { uid: 0, gid: 0 };
  expect(readDevices(specOf(char, block))).toEqual(
    new Map([
      [char, { type: "c", major: 10, minor: 229, fileMode: 0o640, ...owner }],
      [block, { type: "b", major: 4095, minor: 1_048_575, fileMode: 0o600, ...owner }],
    ]),
  );
});

test("what is missing, a file, a folder, a fifo or a link to a device is refused by field", () => {
  using scratch = makeScratch();
  const at = (name: string): string => join(scratch.path, name);
  writeFileSync(at("file"), "");
  symlinkSync("/dev/fuse", at("link"));
  execFileSync("mkfifo", [at("fifo")]);
  const error = refusal(() => readDevices(specOf(at("missing"), at("file"), scratch.path, at("link"), at("fifo"), "/dev/null")));
  expect(error.reason).toBe("NotEnforceable");
  expect(error.detail.violations?.map(({ field, rule }) => `${field} ${rule}`)).toEqual([
    "spec.containers[0].devices[0].path cannot be looked at: ENOENT",
    ...[1, 2, 3, 4].map((index) => `spec.containers[0].devices[${index}].path is not a device`),
  ]);
});
