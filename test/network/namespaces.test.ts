import { execFileSync } from "node:child_process";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listMounts } from "../../src/host/mounts.ts";
import { SandboxNamespaces } from "../../src/network/namespaces.ts";
import { makeScratch } from "../support/scratch.ts";

const ID = "0123456789abcdef0123456789abcdef";

function loopbackFlags(net: string): string[] {
  const links = JSON.parse(execFileSync("nsenter", [`--net=${net}`, "ip", "-j", "link"], { encoding: "utf8" })) as {
    ifname: string;
    flags: string[];
  }[];
  return links.find((link) => link.ifname === "lo")?.flags ?? [];
}

test("namespaces of a sandbox are made where they are said to be, with lo up, and listed", () => {
  using scratch = makeScratch();
  const namespaces = new SandboxNamespaces(scratch.path);
  expect(namespaces.list()).toEqual([]);
  const files = namespaces.create(ID);
  expect(files).toEqual(namespaces.paths(ID));
  expect(files.net).toBe(join(scratch.path, "ns", ID, "net"));
  expect(loopbackFlags(files.net)).toContain("UP");
  expect(namespaces.list()).toEqual([ID]);
  expect(new Set([files.net, files.ipc, files.uts].map((file) => statSync(file).ino)).size).toBe(3);
});

test("two sandboxes have different namespaces", () => {
  using scratch = makeScratch();
  const namespaces = new SandboxNamespaces(scratch.path);
  const [one, two] = [namespaces.create("one"), namespaces.create("two")];
  for (const kind of ["net", "ipc", "uts"] as const) expect(statSync(one[kind]).ino).not.toBe(statSync(two[kind]).ino);
});

test("removing leaves nothing, and may be done again, also by a berthd that was restarted", () => {
  using scratch = makeScratch();
  new SandboxNamespaces(scratch.path).create(ID);
  const restarted = new SandboxNamespaces(scratch.path);
  expect(restarted.list()).toEqual([ID]);
  restarted.remove(ID);
  restarted.remove(ID);
  expect(listMounts(scratch.path)).toEqual([]);
  expect(readdirSync(join(scratch.path, "ns"))).toEqual([]);
});

test("making them again, after a crash half-way or whole, gives fresh ones and one mount each", () => {
  using scratch = makeScratch();
  const namespaces = new SandboxNamespaces(scratch.path);
  const files = namespaces.create(ID);
  namespaces.remove(ID);
  execFileSync("mkdir", ["-p", join(scratch.path, "ns", ID)]);
  writeFileSync(files.net, "");
  namespaces.create(ID);
  execFileSync("nsenter", [`--uts=${files.uts}`, "hostname", "old"]);
  namespaces.create(ID);
  expect(execFileSync("nsenter", [`--uts=${files.uts}`, "hostname"], { encoding: "utf8" })).not.toBe("old\n");
  expect(loopbackFlags(files.net)).toContain("UP");
  expect(listMounts(scratch.path)).toHaveLength(3);
});
