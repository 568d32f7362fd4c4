/** Golden bundles: bundles-fixtures/CASE has sandbox.yaml, image.json, perhaps berth.yaml, and what is rendered of them for each runtime class. */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config.ts";
import { readSandboxDocument } from "../../src/sandbox/document.ts";
import { renderOffline } from "../../src/sandbox/offline.ts";

const FOLDER = "bundles-fixtures";
const CLASSES = ["runsc", "runc", "crun"];
const CASES = readdirSync(FOLDER).sort();
const NO_CONFIG = "/dev/null";

/** Texts of config.json by path below the case. */
async function renderCase(name: string): Promise<Map<string, string>> {
  const folder = join(FOLDER, name);
  const { request } = readSandboxDocument(readFileSync(join(folder, "sandbox.yaml"), "utf8"), "sandbox.yaml");
  const imageConfigs = new Map([["", readFileSync(join(folder, "image.json"), "utf8")]]);
  const own = join(folder, "berth.yaml");
  const config = await loadConfig(existsSync(own) ? own : NO_CONFIG);
  const rendered = new Map<string, string>();
  for (const runtimeClassName of CLASSES) {
    const ofClass = { ...request, spec: { ...request.spec, runtimeClassName } };
    const { bundles } = await renderOffline(ofClass, { config, imageConfigs, node: undefined, architecture: "x86-64" });
    for (const { container, configJson } of bundles) rendered.set(join(runtimeClassName, container, "config.json"), configJson);
  }
  return rendered;
}

function rewrite(name: string, rendered: ReadonlyMap<string, string>): void {
  for (const runtimeClass of CLASSES) rmSync(join(FOLDER, name, runtimeClass), { recursive: true, force: true });
  for (const [path, text] of rendered) {
    mkdirSync(dirname(join(FOLDER, name, path)), { recursive: true });
    writeFileSync(join(FOLDER, name, path), text);
  }
}

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

describe.each(CASES)("%s", (name) => {
  test("renders to the committed bytes, and nothing else lies in the folder", async () => {
    const rendered = await renderCase(name);
    if (process.env["UPDATE_FIXTURES"] === "1") rewrite(name, rendered);
    const inputs = ["sandbox.yaml", "image.json", "berth.yaml"];
    const outputs = filesBelow(join(FOLDER, name)).filter((path) => !inputs.includes(path));
    expect(outputs.sort()).toEqual([...rendered.keys()].sort());
    for (const [path, text] of rendered) expect(readFileSync(join(FOLDER, name, path), "utf8"), path).toBe(text);
  });
});

test("the folder holds cases only", () => {
  const strays = readdirSync(FOLDER, { withFileTypes: true }).filter((entry) => !entry.isDirectory());
  expect(strays).toEqual([]);
  expect(CASES).toEqual(
    expect.arrayContaining([
      ...["nothing-asked-for", "net-admin-1000", "supervisor-ten", "supervisor-six", "no-inheritable"],
      ...["security-context", "read-only-nonroot", "kubernetes-capabilities", "volumes", "host-aliases", "host-paths", "image-volume"],
    ]),
  );
});

/** By these runsc knows the memory volumes of its apps. */
const SHARED_MOUNTS = /,\n +"dev\.gvisor\.spec\.mount\.[^\n]*"(?=,?\n)/g;

test.each(CLASSES)("pause of %s is the same in every case, but for its hostname and the names of shared memory", (runtimeClass) => {
  const pauses = CASES.map((name) => {
    const text = readFileSync(join(FOLDER, name, runtimeClass, "pause", "config.json"), "utf8");
    expect(text).toContain(`\n  "hostname": "${name}",\n`);
    expect(SHARED_MOUNTS.test(text)).toBe(name === "volumes" && runtimeClass === "runsc");
    return text.replace(`"hostname": "${name}"`, `"hostname": "NAME"`).replace(SHARED_MOUNTS, "");
  });
  expect(new Set(pauses).size).toBe(1);
});
