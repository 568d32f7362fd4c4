import { execFileSync } from "node:child_process";
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listMounts } from "../../src/host/mounts.ts";
import { pinNamespaces, unpinNamespaces } from "../../src/host/namespaces.ts";
import { makeScratch } from "../support/scratch.ts";

const KINDS = ["net", "ipc", "uts"] as const;

function filesIn(dir: string): { net: string; ipc: string; uts: string } {
  return { net: join(dir, "net"), ipc: join(dir, "ipc"), uts: join(dir, "uts") };
}

function ownNamespaces(): string[] {
  return KINDS.map((kind) => readlinkSync(`/proc/thread-self/ns/${kind}`));
}

test("pinned namespaces are new ones, with lo up and addressed, and the caller is back in its own", () => {
  using scratch = makeScratch();
  const files = filesIn(scratch.path);
  const before = ownNamespaces();
  pinNamespaces(files);
  expect(ownNamespaces()).toEqual(before);

  const links = JSON.parse(execFileSync("nsenter", [`--net=${files.net}`, "ip", "-j", "addr"], { encoding: "utf8" })) as {
    ifname: string;
    flags: string[];
    addr_info: { local: string }[];
  }[];
  const lo = links.find((link) => link.ifname === "lo");
  expect(lo?.flags).toContain("UP");
  expect(lo?.addr_info.map((address) => address.local)).toContain("127.0.0.1");
  expect(links.map((link) => link.ifname)).not.toContain("eth0");

  const inside = execFileSync(
    "nsenter",
    [`--net=${files.net}`, `--ipc=${files.ipc}`, `--uts=${files.uts}`, "readlink", ...KINDS.map((kind) => `/proc/self/ns/${kind}`)],
    { encoding: "utf8" },
  )
    .trim()
    .split("\n");
  inside.forEach((name, index) => expect(name).not.toBe(before[index]));
});

test("a hostname that is set in the pinned uts namespace stays in there", () => {
  using scratch = makeScratch();
  const files = filesIn(scratch.path);
  pinNamespaces(files);
  execFileSync("nsenter", [`--uts=${files.uts}`, "hostname", "inside"]);
  expect(execFileSync("nsenter", [`--uts=${files.uts}`, "hostname"], { encoding: "utf8" })).toBe("inside\n");
  expect(execFileSync("hostname", { encoding: "utf8" })).not.toBe("inside\n");
});

test("unpinning leaves no mount and no file, and may be done again", () => {
  using scratch = makeScratch();
  const files = filesIn(scratch.path);
  pinNamespaces(files);
  expect(listMounts(scratch.path)).toHaveLength(3);
  unpinNamespaces(files);
  expect(listMounts(scratch.path)).toEqual([]);
  expect(readdirSync(scratch.path)).toEqual([]);
  unpinNamespaces(files);
});

test("when a pin cannot be made, the caller is back in its namespaces and nothing is left", () => {
  using scratch = makeScratch();
  const before = ownNamespaces();
  const files = { ...filesIn(scratch.path), uts: join(scratch.path, "no-such-folder", "uts") };
  expect(() => pinNamespaces(files)).toThrow(/ENOENT/);
  expect(ownNamespaces()).toEqual(before);
  expect(readdirSync(scratch.path)).toEqual([]);
});

test("pins that are there are not pinned over", () => {
  using scratch = makeScratch();
  const files = filesIn(scratch.path);
  pinNamespaces(files);
  expect(() => pinNamespaces(files)).toThrow(/EEXIST/);
  expect(listMounts(scratch.path)).toHaveLength(3);
});

test("a file that is there is left alone, and the others are not made", () => {
  using scratch = makeScratch();
  const files = filesIn(scratch.path);
  writeFileSync(files.ipc, "");
  expect(() => pinNamespaces(files)).toThrow(/EEXIST/);
  expect(readdirSync(scratch.path)).toEqual(["ipc"]);
});

test("pinning leaks no descriptor", () => {
  using scratch = makeScratch();
  const open = (): number => readdirSync("/proc/self/fd").length;
  const files = filesIn(scratch.path);
  const before = open();
  for (let round = 0; round < 20; round++) {
    pinNamespaces(files);
    unpinNamespaces(files);
  }
  expect(open()).toBeLessThanOrEqual(before + 2);
});

const READ = ["cat", "/proc/sys/kernel/shm_rmid_forced", "/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/fs/mqueue/msg_max"];

test("settings are those of the pinned namespaces alone", () => {
  using scratch = makeScratch();
  const files = filesIn(scratch.path);
  const before = execFileSync("cat", READ.slice(1), { encoding: "utf8" });
  pinNamespaces(files, [
    { name: "kernel.shm_rmid_forced", value: "1" },
    { name: "net.ipv4.tcp_rmem", value: "4097 87381 98305" },
    { name: "fs.mqueue.msg_max", value: "17" },
  ]);
  const inside = execFileSync("nsenter", [`--net=${files.net}`, `--ipc=${files.ipc}`, ...READ], { encoding: "utf8" });
  expect(inside).toBe("1\n4097\t87381\t98305\n17\n");
  expect(execFileSync("cat", READ.slice(1), { encoding: "utf8" })).toBe(before);
});

test.each([
  ["net.ipv4.no_such_setting", "1", "ENOENT"],
  ["kernel.shm_rmid_forced", "2", "EINVAL"],
  ["kernel.shm_rmid_forced", "1 and more", "EINVAL"],
  ["net.ipv4.tcp_rmem", "4096 131072 6291456 1", "EINVAL"],
  ["net.core.rmem_default", "1", "EACCES"],
])("the kernel's refusal of %s=%s is told by name, and nothing is left", (name, value, code) => {
  using scratch = makeScratch();
  const before = ownNamespaces();
  expect(() => pinNamespaces(filesIn(scratch.path), [{ name, value }])).toThrow(
    expect.objectContaining({ name: "SysctlError", sysctl: name, code }),
  );
  expect(ownNamespaces()).toEqual(before);
  expect(readdirSync(scratch.path)).toEqual([]);
});
