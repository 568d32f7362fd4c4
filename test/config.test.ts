import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type BerthConfig, loadConfig } from "../src/config.ts";
import { BerthError } from "../src/errors.ts";
import { findClass } from "../src/runtime/registry.ts";
import { makeScratch } from "./support/scratch.ts";

async function load(text: string): Promise<BerthConfig> {
  using scratch = makeScratch();
  const file = join(scratch.path, "berth.yaml");
  writeFileSync(file, text);
  return await loadConfig(file);
}

async function refusal(text: string): Promise<BerthError> {
  const thrown: unknown = await load(text).catch((error: unknown) => error);
  if (thrown instanceof BerthError && thrown.reason === "InvalidRequest") return thrown;
  throw new Error("it was not refused with InvalidRequest", { cause: thrown });
}

/** Field, value and rule of each violation; the message for people must name the file and each of them. */
async function faults(text: string): Promise<string[]> {
  const { message, detail } = await refusal(text);
  expect(message).toMatch(/^the config .*\/berth\.yaml is refused: /);
  return (detail.violations ?? []).map(({ field, rule, value, allowed }) => {
    expect(allowed, field).not.toBe("");
    expect(message).toContain(`${field}: ${rule} (found ${value}; allowed: ${allowed})`);
    return `${field} = ${value}: ${rule}`;
  });
}
const withClass = (fields: string): string => `runtimeClasses: [{name: own, adapter: runsc, binary: runsc, ${fields}}]`;

test("an empty file is all defaults: runsc (alias gvisor), runc and crun", async () => {
  for (const text of ["", "# nothing\n", "{}", "null"]) {
    expect(await load(text)).toEqual({
      runtimeClasses: [
        { name: "runsc", aliases: ["gvisor"], adapter: "runsc", binary: "runsc", flags: [] },
        { name: "runc", aliases: [], adapter: "runc", binary: "runc", flags: [] },
        { name: "crun", aliases: [], adapter: "crun", binary: "crun", flags: [] },
      ],
      defaultRuntimeClass: "runsc",
      capabilityMode: "merged",
      defaultCapabilities: "seed",
      cgroupRoot: "/berth.slice",
      seccompProfileDir: "/etc/berth/seccomp",
      pauseBinary: "/usr/bin/catatonit",
    });
  }
});

test("a fourth class is made by config alone and can be the default", async () => {
  const config = await load(`
defaultRuntimeClass: kvm
runtimeClasses:
  - {name: gvisor-kvm, aliases: [kvm], adapter: runsc, binary: /opt/runsc, flags: [--platform=kvm, --debug], version: release-20240729.0}
`);
  expect(config.runtimeClasses.map(({ name }) => name)).toEqual(["runsc", "runc", "crun", "gvisor-kvm"]);
  expect(findClass(config, "")).toEqual({
    name: "gvisor-kvm",
    aliases: ["kvm"],
    adapter: "runsc",
    binary: "/opt/runsc",
    flags: ["--platform=kvm", "--debug"],
    version: "release-20240729.0",
  });
});

test("a class of a built-in name replaces it", async () => {
  const config = await load("runtimeClasses: [{name: runc, adapter: crun, binary: youki}]");
  expect(config.runtimeClasses.map(({ name, binary }) => `${name} ${binary}`)).toEqual(["runsc runsc", "crun crun", "runc youki"]);
});

test.each([
  ["an unknown key", "color: red", 'color = "red": is not a field that berth knows'],
  ["an unknown key of a class", withClass("path: /x"), 'runtimeClasses[0].path = "/x": is not a field that berth knows'],
  ["a class without a name", "runtimeClasses: [{adapter: runc, binary: runc}]", "runtimeClasses[0].name = nothing: is required"],
  ["an adapter that is none", "runtimeClasses: [{name: a, adapter: kata, binary: k}]", /^runtimeClasses\[0\]\.adapter = "kata": /],
  [
    "a class name with a slash",
    "runtimeClasses: [{name: a/b, adapter: runc, binary: runc}]",
    'runtimeClasses[0].name = "a/b": is not a class name',
  ],
  ["an alias that is none", withClass("aliases: [A]"), 'runtimeClasses[0].aliases[0] = "A": is not a class name'],
  [
    "a relative binary",
    "runtimeClasses: [{name: a, adapter: runc, binary: bin/runc}]",
    'runtimeClasses[0].binary = "bin/runc": is neither a path nor a name',
  ],
  [
    "an empty binary",
    'runtimeClasses: [{name: a, adapter: runc, binary: ""}]',
    'runtimeClasses[0].binary = "": is neither a path nor a name',
  ],
  ["a version that is a number", withClass("version: 20240729"), /^runtimeClasses\[0\]\.version = 20240729: /],
  ["an unknown default", "defaultRuntimeClass: kata", 'defaultRuntimeClass = "kata": is not a runtime class'],
  ["a mode that is none", "capabilityMode: none", /^capabilityMode = "none": /],
  ["default capabilities that are none", "defaultCapabilities: docker", /^defaultCapabilities = "docker": /],
  ["a relative pause", "pauseBinary: catatonit", 'pauseBinary = "catatonit": is not absolute'],
  ["a relative cgroup", "cgroupRoot: berth.slice", 'cgroupRoot = "berth.slice": is not the path of a cgroup'],
  ["a cgroup that climbs", "cgroupRoot: /a/../..", 'cgroupRoot = "/a/../..": is not the path of a cgroup'],
  ["the root cgroup", "cgroupRoot: /.", 'cgroupRoot = "/.": is not the path of a cgroup'],
])("%s is refused by name", async (_title, text, expected) => {
  const found = await faults(text);
  expect(found).toHaveLength(1);
  expect(found[0]).toEqual(typeof expected === "string" ? expected : expect.stringMatching(expected));
});

test("several wrong fields are named at once", async () => {
  expect(await faults("color: red\ncapabilityMode: 3\npauseBinary: x")).toHaveLength(3);
});

test("a name that is used twice is refused, be it an alias or a built-in's", async () => {
  const twice = (text: string): Promise<string[]> => faults(`runtimeClasses: [${text}]`);
  expect(await twice("{name: a, adapter: runc, binary: runc}, {name: a, adapter: crun, binary: crun}")).toEqual([
    'runtimeClasses = "a": uses the name a twice',
  ]);
  expect(await twice("{name: a, aliases: [gvisor], adapter: runc, binary: runc}")).toEqual([
    'runtimeClasses = "gvisor": uses the name gvisor twice',
  ]);
  expect(await twice("{name: a, aliases: [a], adapter: runc, binary: runc}")).toEqual(['runtimeClasses = "a": uses the name a twice']);
});

test.each([
  "--root=/x",
  "--network=host",
  "--ignore-cgroups",
  "--debugger",
  "--platform",
  "--platform=",
  "kvm",
  "-platform=kvm",
  "--debug-log",
  "",
])("a class of runsc may not set %j, and is told what it may", async (flag) => {
  const { detail } = await refusal(withClass(`flags: [--debug, ${JSON.stringify(flag)}]`));
  expect(detail.violations).toEqual([
    {
      field: "runtimeClasses[0].flags[1]",
      rule: "is not a flag that a class of runsc may set",
      value: JSON.stringify(flag),
      allowed: "--platform=VALUE, --directfs, --file-access=VALUE, --debug, --debug-log=VALUE, --strace, --gofer-network-namespace=VALUE",
    },
  ]);
});

test("runc and crun take --debug and nothing else", async () => {
  for (const adapter of ["runc", "crun"]) {
    const withFlags = (flags: string): string => `runtimeClasses: [{name: a, adapter: ${adapter}, binary: ${adapter}, flags: [${flags}]}]`;
    expect((await load(withFlags("--debug"))).runtimeClasses.at(-1)?.flags).toEqual(["--debug"]);
    expect((await refusal(withFlags("--platform=kvm"))).detail.violations).toMatchObject([{ allowed: "--debug" }]);
  }
});

test("a file that is not there or no YAML is refused with its name", async () => {
  await expect(loadConfig("/no/such/berth.yaml")).rejects.toThrow("cannot read the config /no/such/berth.yaml");
  expect((await refusal("a: [")).message).toContain("cannot read the config");
  expect((await refusal("capabilityMode: merged\ncapabilityMode: no-inheritable")).message).toContain("unique");
  expect((await refusal("[]")).message).toContain("the whole: ");
});
