import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { OciSeccomp } from "../../src/bundle/oci.ts";
import { loadConfig } from "../../src/config.ts";
import { BerthError } from "../../src/errors.ts";
import { renderOffline } from "../../src/sandbox/offline.ts";
import { readSeccompProfiles } from "../../src/sandbox/seccomp-profiles.ts";
import { parseSandboxRequest, type SandboxRequest } from "../../src/sandbox/spec.ts";
import { makeScratch } from "../support/scratch.ts";

/** A sandbox whose containers name these profiles. */
function request(...names: string[]): SandboxRequest {
  const containers = names.map((localhostProfile, index) => ({
    name: `c${index}`,
    image: "oci:/x",
    securityContext: { seccompProfile: { type: "Localhost", localhostProfile } },
  }));
  return parseSandboxRequest({ metadata: { name: "box" }, spec: { runtimeClassName: "runc", containers } });
}

/** A folder with the text as the profile "p". */
function readText(text: string): OciSeccomp | undefined {
  using scratch = makeScratch();
  writeFileSync(join(scratch.path, "p"), text);
  return readSeccompProfiles(request("p").spec, scratch.path).get("p");
}

function refused(act: () => unknown): BerthError {
  try {
    act();
  } catch (error) {
    if (error instanceof BerthError && error.reason === "NotEnforceable") return error;
    throw error;
  }
  throw new Error("it was not refused");
}

const DENY_MKDIR = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }] };

test("a profile is read once for all that name it, also from below and through a link inside", () => {
  using scratch = makeScratch();
  mkdirSync(join(scratch.path, "team"));
  writeFileSync(join(scratch.path, "team/a.json"), JSON.stringify(DENY_MKDIR));
  symlinkSync("team/a.json", join(scratch.path, "link"));
  const profiles = readSeccompProfiles(request("team/a.json", "link", "team/a.json").spec, scratch.path);
  expect([...profiles]).toEqual([
    ["team/a.json", DENY_MKDIR],
    ["link", DENY_MKDIR],
  ]);
});

test("without Localhost the folder is not looked at", () => {
  const plain = parseSandboxRequest({ metadata: { name: "box" }, spec: { containers: [{ name: "a", image: "oci:/x" }] } });
  expect(readSeccompProfiles(plain.spec, "/no/such/folder").size).toBe(0);
});

test("missing, outside, a folder, a fifo, too big: each names field, file and way out, all of a sandbox together", () => {
  using scratch = makeScratch();
  const dir = join(scratch.path, "seccomp");
  mkdirSync(join(dir, "folder"), { recursive: true });
  writeFileSync(join(scratch.path, "secret"), JSON.stringify(DENY_MKDIR));
  symlinkSync("../secret", join(dir, "outside"));
  symlinkSync(join(scratch.path, "secret"), join(dir, "absolute"));
  symlinkSync("loop", join(dir, "loop"));
  writeFileSync(join(dir, "big"), " ".repeat(1024 * 1024 + 1));
  execFileSync("mkfifo", [join(dir, "fifo")]);
  const names = ["missing", "outside", "absolute", "folder", "fifo", "loop", "big"];
  const { message, detail } = refused(() => readSeccompProfiles(request(...names).spec, dir));
  const notThere = `is not in ${dir}, out of which no link leads`;
  expect(detail.violations?.map(({ field, value, rule }) => [field, value, rule])).toEqual(
    [notThere, notThere, notThere, "cannot be used: folder is not a regular file", "cannot be used: fifo is not a regular file"]
      .concat(["cannot be used: loop is a loop of symbolic links", "cannot be used: big has 1048577 bytes, more than 1048576"])
      .map((rule, index) => [`spec.containers[${index}].securityContext.seccompProfile.localhostProfile`, `"${names[index]}"`, rule]),
  );
  for (const { field, rule, allowed } of detail.violations ?? []) {
    expect(allowed).toContain(`in ${dir} (seccompProfileDir of berth.yaml)`);
    expect(message).toContain(rule);
    expect(message).toContain(field);
  }
});

test("a folder that is not there is told as such", () => {
  const { detail } = refused(() => readSeccompProfiles(request("a").spec, "/no/such/folder"));
  expect(detail.violations?.[0]?.rule).toMatch(/^cannot be read: ENOENT.*\/no\/such\/folder/);
});

test("the sandbox's field is named when the sandbox asked", () => {
  const spec = {
    securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "a" } },
    containers: ["x", "y"].map((name) => ({ name, image: "oci:/x" })),
  };
  const parsed = parseSandboxRequest({ metadata: { name: "box" }, spec });
  const { detail, message } = refused(() => readSeccompProfiles(parsed.spec, "/no/such/folder"));
  expect(detail.violations?.[0]?.field).toBe("spec.securityContext.seccompProfile.localhostProfile");
  expect(message.match(/spec\.securityContext/g)).toHaveLength(1);
});

test.each([
  ["", "is not JSON"],
  ["{", "is not JSON"],
  ["defaultAction: SCMP_ACT_ALLOW", "is not JSON"],
  ["null", "the whole"],
  ["[]", "the whole"],
  ["{}", "defaultAction is required"],
  ['{"defaultAction":"ALLOW"}', "defaultAction is not an action that berth knows"],
  ['{"defaultAction":"SCMP_ACT_NOTIFY"}', "defaultAction is not an action that berth knows"],
  ['{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}', "defaultErrnoRet is only used with SCMP_ACT_ERRNO and SCMP_ACT_TRACE"],
  ['{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}', "defaultErrnoRet"],
  ['{"defaultAction":"SCMP_ACT_ERRNO","archMap":[]}', "archMap is not a field that berth knows"],
  ['{"defaultAction":"SCMP_ACT_ERRNO","listenerPath":"/run/x"}', "listenerPath is not a field that berth knows"],
  ['{"defaultAction":"SCMP_ACT_ERRNO","architectures":["amd64"]}', "architectures[0] is not an architecture of the specification"],
  [rule({ names: [] }), "syscalls[0].names"],
  [rule({ names: "mkdir" }), "syscalls[0].names"],
  [rule({ name: "mkdir", names: ["mkdir"] }), "syscalls[0].name is not a field that berth knows"],
  [rule({ includes: { caps: [] } }), "syscalls[0].includes is not a field that berth knows"],
  [rule({ action: "SCMP_ACT_ALLOW", errnoRet: 1 }), "syscalls[0].errnoRet is only used with SCMP_ACT_ERRNO and SCMP_ACT_TRACE"],
  [rule({ errnoRet: -1 }), "syscalls[0].errnoRet"],
  [rule({ args: [{ index: 6, value: 0, op: "SCMP_CMP_EQ" }] }), "syscalls[0].args[0].index"],
  [rule({ args: [{ index: 0, value: -1, op: "SCMP_CMP_EQ" }] }), "syscalls[0].args[0].value"],
  [rule({ args: [{ index: 0, value: 0.5, op: "SCMP_CMP_EQ" }] }), "syscalls[0].args[0].value"],
  [rule({ args: [{ index: 0, value: 0, op: "==" }] }), "syscalls[0].args[0].op is not an operator of the specification"],
  [
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":18446744073709551616,"op":"SCMP_CMP_EQ"}]}]}',
    "syscalls[0].args[0].value",
  ],
])("%s is refused", (text, expected) => {
  const { detail } = refused(() => readText(text));
  const [violation] = detail.violations ?? [];
  expect(violation?.rule).toContain(expected);
  expect(violation?.allowed).toMatch(/^mend .*\/p: linux\.seccomp of the OCI runtime specification as JSON$/);
});

function rule(fields: object): string {
  return JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_ERRNO", ...fields }] });
}

test("numbers of 64 bits keep every digit", () => {
  const profile = readText(
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ERRNO","errnoRet":38,"args":[{"index":5,"value":18446744073709551615,"valueTwo":9007199254740993,"op":"SCMP_CMP_MASKED_EQ"}]}]}',
  );
  expect(profile?.syscalls[0]?.args).toEqual([
    { index: 5, value: 2n ** 64n - 1n, valueTwo: 9_007_199_254_740_993n, op: "SCMP_CMP_MASKED_EQ" },
  ]);
});

test("render without a node reads the folder of the config that it is given", async () => {
  using scratch = makeScratch();
  writeFileSync(join(scratch.path, "p"), JSON.stringify(DENY_MKDIR));
  const config = await loadConfig("/dev/null");
  expect(config.seccompProfileDir).toBe("/etc/berth/seccomp");
  const options = { imageConfigs: new Map([["", JSON.stringify({ config: { Cmd: ["sh"] } })]]), node: undefined };
  const { bundles } = await renderOffline(request("p"), { ...options, config: { ...config, seccompProfileDir: scratch.path } });
  expect(bundles[1]?.config.linux.seccomp).toEqual(DENY_MKDIR);
  await expect(renderOffline(request("q"), { ...options, config })).rejects.toMatchObject({ reason: "NotEnforceable" });
});
