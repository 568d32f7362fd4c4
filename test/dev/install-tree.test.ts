import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { installTree } from "../../src/dev/install-tree.ts";

let root: string;

// Below /tmp no node_modules folder is in reach.
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "berth-tree-"));
  await installTree(root);
}, 60_000);

afterAll(() => rmSync(root, { recursive: true, force: true }));

function call(command: string, ...args: string[]) {
  return spawnSync(join(root, "usr/lib/berth/node"), [join(root, "usr/bin", command), ...args], { encoding: "utf8", cwd: root });
}

test.each(["berth", "berthd"])("%s is the program of its name without node_modules", (command) => {
  const version = call(command, "--version");
  expect(version).toMatchObject({ status: 0, stderr: "" });
  expect(version.stdout).toContain(manifest.version);
  const help = call(command, "--help");
  expect(help).toMatchObject({ status: 0, stderr: "" });
  expect(help.stdout).toMatch(new RegExp(`\\b${command}\\b`));
});

test("what is shipped takes no fault file", () => {
  const refused = call("berthd", "--fault-file", "/tmp/faults");
  expect(refused.status).toBe(2);
  expect(refused.stderr).toContain("--fault-file is refused");
});

test("beside the bundle stand its Node, koffi's binary and every helper script, and nothing else", () => {
  const scripts = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".sh"));
  const wanted = ["berth.mjs", "koffi.node", "node", ...scripts.map((file) => basename(file))];
  expect(readdirSync(join(root, "usr/lib/berth")).sort()).toEqual(wanted.sort());
  expect(readFileSync(join(root, "usr/lib/berth/berth.mjs"), "utf8").split("\n", 1)).toEqual([
    "#!/usr/lib/berth/node --max-semi-space-size=2",
  ]);
  expect(["berth", "berthd"].map((name) => readlinkSync(join(root, "usr/bin", name)))).toEqual(Array(2).fill("../lib/berth/berth.mjs"));
});

test("a second install replaces the programs and keeps the node's config", async () => {
  const config = join(root, "etc/berth/berth.yaml");
  const leftover = join(root, "usr/lib/berth/leftover");
  writeFileSync(config, "defaultRuntimeClass: crun\n");
  writeFileSync(leftover, "");
  await installTree(root);
  expect(readFileSync(config, "utf8")).toBe("defaultRuntimeClass: crun\n");
  expect(existsSync(leftover)).toBe(false);
  expect(readdirSync(join(root, "usr/lib"))).toContain("berth");
  expect(readdirSync(join(root, "usr/lib")).filter((name) => name.startsWith("berth."))).toEqual([]);
});
