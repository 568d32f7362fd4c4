import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { loadConfig } from "../../src/config.ts";
import { BerthError } from "../../src/errors.ts";
import { Cgroups } from "../../src/host/cgroups.ts";
import { findClass, RuntimeRegistry } from "../../src/runtime/registry.ts";
import { makeScratch } from "../support/scratch.ts";

const CONFIG = await loadConfig("/dev/null");
/** A v2 tree that is nowhere: what is refused by its version must not come to making groups. */
const NO_CGROUPS = "30 23 0:26 / /no/such/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";

/** A registry whose only class is this binary. */
function registryOf(
  folder: string,
  binary: string,
  adapter: "runsc" | "runc" = "runsc",
  { cgroups, cgroupRoot } = { cgroups: new Cgroups(NO_CGROUPS), cgroupRoot: CONFIG.cgroupRoot },
): RuntimeRegistry {
  const config = { ...CONFIG, cgroupRoot, runtimeClasses: [{ name: "runsc", aliases: [], adapter, binary, flags: [] }] };
  const places = { runtimes: join(folder, "runtimes"), pauseRootfs: join(folder, "pause"), probes: join(folder, "probes") };
  return new RuntimeRegistry(config, places, cgroups);
}

/** A runtime that is this shell script. */
function script(folder: string, text: string): string {
  const path = join(folder, "runsc");
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

async function refusal(registry: RuntimeRegistry): Promise<BerthError> {
  const thrown: unknown = await registry.resolve("").catch((error: unknown) => error);
  if (thrown instanceof BerthError) return thrown;
  throw new Error("it was not refused with a BerthError", { cause: thrown });
}

test.concurrent.each([
  [
    "of 2022",
    "echo 'runsc version 0.0~20221219'",
    /is runsc of 20221219; berth needs one of 2024 or newer \(Debian 12 has one in bookworm-backports\)/,
  ],
  ["without a date", "echo 'runsc version VERSION_MISSING'", /"VERSION_MISSING", which has no date: use a release build of runsc/],
  ["that is something else", "echo hello", /--version does not answer like an OCI runtime: hello/],
  ["that fails", "echo 'runsc version release-20260905.0'; echo broken >&2; exit 3", /does not answer like an OCI runtime: broken/],
  ["that fails and says nothing", "exit 3", /does not answer like an OCI runtime: it ended with 3/],
  // One test of this file takes the 5 s; the others run meanwhile.
  ["that hangs", "exec sleep 60", /does not answer like an OCI runtime: it did not end within 5000 ms/],
])("a runsc %s is refused", async (_title, text, expected) => {
  using scratch = makeScratch();
  const error = await refusal(registryOf(scratch.path, script(scratch.path, text)));
  expect(error.reason).toBe("RuntimeUnusable");
  expect(error.message).toMatch(expected);
});

test("a file that cannot be run as a program is refused", async () => {
  using scratch = makeScratch();
  const path = script(scratch.path, "");
  writeFileSync(path, "#!/no/such/interpreter\n");
  const error = await refusal(registryOf(scratch.path, path));
  expect(error).toMatchObject({ reason: "RuntimeUnusable", message: expect.stringMatching(/cannot run .*runsc/) as string });
});

test.each([
  ["/no/such/runsc", "there is no runtime binary /no/such/runsc: install it, or name another with runtimeClasses[].binary in berth.yaml"],
  [
    "no-such-runsc",
    "there is no runtime binary no-such-runsc in PATH: install it, or name another with runtimeClasses[].binary in berth.yaml",
  ],
])("a missing binary %s is refused with what to do", async (binary, message) => {
  using scratch = makeScratch();
  expect(await refusal(registryOf(scratch.path, binary))).toMatchObject({ reason: "RuntimeUnusable", message });
});

test("a folder and a file that is not executable are no binary", async () => {
  using scratch = makeScratch();
  const path = script(scratch.path, "");
  chmodSync(path, 0o644);
  for (const binary of [path, scratch.path]) {
    expect((await refusal(registryOf(scratch.path, binary))).message).toContain(`there is no runtime binary ${binary}`);
  }
});

test("the list of classes says of each why it is not ready; a mended binary is looked at again", async () => {
  using scratch = makeScratch();
  const binary = script(scratch.path, "echo 'runsc version 0.0~20221219'");
  const registry = registryOf(scratch.path, binary);
  const [info] = await registry.list();
  expect(info).toMatchObject({ name: "runsc", adapter: "runsc", binary, ready: false, version: "", features: [] });
  expect(info?.message).toContain("is runsc of 20221219");
  script(scratch.path, "echo 'runsc version 0.0~20231231'");
  expect((await registry.list())[0]?.message).toContain("is runsc of 20231231");
});

test("a binary is tried once for all who ask, and again when it is another one", async () => {
  using scratch = makeScratch();
  const calls = join(scratch.path, "calls");
  const answer = `echo "$1" >> ${calls}; echo 'runsc version release-20260905.0'`;
  const binary = script(scratch.path, answer);
  const cgroups = new Cgroups();
  const cgroupRoot = `/${basename(scratch.path)}`;
  const registry = registryOf(scratch.path, binary, "runsc", { cgroups, cgroupRoot });
  const versionsAsked = () =>
    readFileSync(calls, "utf8")
      .split("\n")
      .filter((argument) => argument === "--version").length;
  try {
    await Promise.all([registry.resolve(""), registry.resolve("runsc")]);
    const { digest } = await registry.resolve("");
    expect(versionsAsked()).toBe(1);
    script(scratch.path, `${answer} # newer`);
    expect((await registry.resolve("")).digest).not.toBe(digest);
    expect(versionsAsked()).toBe(2);
  } finally {
    await cgroups.remove(cgroupRoot);
  }
});

test("classes are found by name, alias and, for an empty name, as the default", () => {
  expect(findClass(CONFIG, "runsc").name).toBe("runsc");
  expect(findClass(CONFIG, "gvisor").name).toBe("runsc");
  expect(findClass(CONFIG, "").name).toBe("runsc");
  expect(findClass({ ...CONFIG, defaultRuntimeClass: "crun" }, "").name).toBe("crun");
  expect(() => findClass(CONFIG, "kata")).toThrow(
    expect.objectContaining({ reason: "RuntimeClassUnknown", message: expect.stringContaining("runsc, gvisor, runc, crun") }),
  );
  // Names are not keys of an object.
  expect(() => findClass(CONFIG, "constructor")).toThrow("no runtime class");
});
