import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { makeScratch } from "../support/scratch.ts";

const BERTH = fileURLToPath(new URL("../../src/cli/berth.ts", import.meta.url));

/** Runs the real program where no berthd is. */
function check(input: unknown, ...args: readonly string[]): { code: number | null; stdout: string; stderr: string } {
  const text = typeof input === "string" ? input : JSON.stringify(input);
  const env = { ...process.env, NO_COLOR: "1", BERTH_ADDRESS: "unix:///nowhere.sock" };
  const { status, stdout, stderr } = spawnSync(BERTH, ["check", "-f", "-", ...args], { input: text, encoding: "utf8", env });
  return { code: status, stdout, stderr };
}

function checkJson(input: unknown, ...args: readonly string[]): { code: number | null; [key: string]: unknown } {
  const { code, stdout, stderr } = check(input, "-o", "json", ...args);
  expect(stderr).toBe("");
  return { code, ...(JSON.parse(stdout) as object) };
}

const sandbox = (container: object = {}) => ({
  apiVersion: "berth/v1",
  kind: "Sandbox",
  metadata: { name: "web" },
  spec: { containers: [{ name: "web", image: "oci:/srv/busybox", ...container }] },
});
const pod = (spec: object = {}, container: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web" },
  spec: { restartPolicy: "Never", ...spec, containers: [{ name: "web", image: "oci:/srv/busybox", ...container }] },
});
const adding = (...add: readonly string[]) => ({ securityContext: { capabilities: { add } } });

test("a file that the level admits ends with 0", () => {
  expect(check(sandbox())).toEqual({ code: 0, stdout: "stdin: admitted by baseline\n", stderr: "" });
  expect(check(pod({}, adding("CHOWN"))).code).toBe(0);
  expect(checkJson(sandbox(adding("cap_chown")))).toEqual({
    code: 0,
    level: "baseline",
    admitted: true,
    violations: [],
    notImplemented: [],
    faults: [],
    warnings: [],
  });
});

test("every violation of the level is told, and what berth does not implement apart from it", () => {
  const input = pod(
    { hostNetwork: true, initContainers: [{ name: "init", securityContext: { privileged: true } }] },
    adding("NET_RAW", "CHOWN"),
  );
  expect(check(input)).toEqual({
    code: 1,
    stdout: `stdin: refused by baseline
baseline does not admit:
  spec.hostNetwork: baseline does not admit it (Host Namespaces) (found true); allowed: not set or false
  spec.initContainers[0].securityContext.privileged: baseline does not admit it (Privileged Containers) (found true); allowed: not set or false
  spec.containers[0].securityContext.capabilities.add[0]: baseline does not admit it (Capabilities) (found "NET_RAW"); allowed: AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, MKNOD, NET_BIND_SERVICE, SETFCAP, SETGID, SETPCAP, SETUID or SYS_CHROOT
not implemented by berth, run would refuse the file:
  spec.hostNetwork: is not implemented by berth yet
  spec.initContainers: is not implemented by berth yet
`,
    stderr: "",
  });
  expect(checkJson(input, "--level", "privileged")).toMatchObject({ code: 0, level: "privileged", admitted: true, violations: [] });
  expect(checkJson(sandbox(adding("net_raw")))).toMatchObject({
    code: 1,
    admitted: false,
    violations: [
      {
        field: "spec.containers[0].securityContext.capabilities.add[0]",
        rule: "baseline does not admit it (Capabilities)",
        value: '"NET_RAW"',
        allowed: expect.stringContaining("SYS_CHROOT"),
      },
    ],
  });
});

test("what berth does not implement does not count", () => {
  const input = pod({ hostNetwork: false, initContainers: [], hostIPC: false }, { image: "registry.k8s.io/pause" });
  expect(checkJson(input)).toMatchObject({
    code: 0,
    admitted: true,
    notImplemented: [
      { field: "spec.hostNetwork", rule: "is not implemented by berth yet" },
      { field: "spec.initContainers" },
      { field: "spec.hostIPC" },
      { field: "spec.containers[0].image", rule: "an image of a registry is not implemented by berth yet" },
    ],
    faults: [],
  });
});

test("restricted asks for more, and can be kept", () => {
  expect(check(pod(), "--level", "restricted").code).toBe(1);
  const securityContext = {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ["ALL"] },
    runAsNonRoot: true,
    seccompProfile: { type: "RuntimeDefault" },
  };
  expect(checkJson(pod({}, { securityContext }), "--level", "restricted")).toMatchObject({ code: 0, admitted: true, violations: [] });
});

test("faults of the document refuse it, apart from the level", () => {
  const input = { ...pod({ hostnetwork: true }, { securityContext: { runAsUser: -1 }, image: "oci:relative" }) };
  expect(checkJson(input)).toMatchObject({
    code: 1,
    admitted: false,
    violations: [],
    notImplemented: [],
    faults: [
      { field: "spec.hostnetwork", rule: "is not a field of a Pod" },
      { field: "spec.containers[0].image" },
      { field: "spec.containers[0].securityContext.runAsUser", rule: "is out of range" },
    ],
  });
  expect(check(input).stdout).toMatch(/^stdin: refused for its faults\nfaults of the document:\n {2}spec\.hostnetwork: /);
});

test.each([
  ["kind: Job\napiVersion: batch/v1\n", "kind"],
  ["a: [\n", "stdin:2:1"],
  ["", "stdin"],
  ["[]", "stdin"],
])("what is no document at all is a fault: %j", (text, field) => {
  const faults = expect.arrayContaining([expect.objectContaining({ field })]) as unknown;
  expect(checkJson(text)).toMatchObject({ code: 1, admitted: false, faults });
});

test("a name that run would refuse is a warning: a template may leave it open", () => {
  const unnamed = checkJson({ ...pod(), metadata: {} });
  expect(unnamed).toMatchObject({ code: 0, warnings: ["metadata.name is required (found nothing): run would refuse it"] });
  expect(check({ ...pod(), metadata: { name: "a_b" } })).toEqual({
    code: 0,
    stdout: "stdin: admitted by baseline\n",
    stderr: 'warning: metadata.name is not a DNS label (found "a_b"): run would refuse it\n',
  });
});

test("a file that cannot be read is a failure", () => {
  const { status, stdout } = spawnSync(BERTH, ["check", "-f", "/nowhere/a.yaml", "-o", "json"], { encoding: "utf8" });
  expect(status).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ code: "INVALID_ARGUMENT", reason: "InvalidRequest" });
});

/** What check tells with a policy.yaml of this text. */
function checkPolicy(text: string, input: unknown, ...args: readonly string[]): { code: number | null; [key: string]: unknown } {
  using scratch = makeScratch();
  const policy = join(scratch.path, "policy.yaml");
  writeFileSync(policy, text);
  return checkJson(input, "--config", "/dev/null", "--policy", policy, ...args);
}

const HARDENED = `level: restricted
limits:
  registries: [registry.example/*, "oci:/srv/*"]
defaults:
  runAsNonRoot: true
  allowPrivilegeEscalation: false
  seccompProfile: {type: RuntimeDefault}
  capabilities: {drop: [ALL]}
`;

test("a policy is held against the file with its defaults, level and limits, registries of images that berth cannot fetch included", () => {
  expect(checkPolicy(HARDENED, pod({}, { image: "registry.example/team/web" }))).toMatchObject({
    code: 0,
    level: "restricted",
    policy: expect.stringMatching(/policy\.yaml$/),
    admitted: true,
    violations: [],
    notImplemented: [{ field: "spec.containers[0].image" }],
  });
  const hostNetwork = pod({ hostNetwork: true, runtimeClassName: "runc" }, { image: "docker.io/web", ...adding("NET_ADMIN") });
  expect(checkPolicy(HARDENED, hostNetwork)).toMatchObject({
    code: 1,
    admitted: false,
    violations: [
      { field: "spec.hostNetwork", rule: "baseline does not admit it (Host Namespaces): policy.yaml:1 level" },
      { field: "spec.containers[0].securityContext.capabilities.add[0]", rule: expect.stringContaining("policy.yaml:1 level") },
      { field: "spec.containers[0].securityContext.capabilities.add[0]", rule: expect.stringContaining("built-in limits.capabilities") },
      {
        field: "spec.containers[0].image",
        rule: "is more than the node allows (policy.yaml:3 limits.registries)",
        value: '"docker.io/web"',
      },
    ],
    notImplemented: [{ field: "spec.hostNetwork" }, { field: "spec.containers[0].image" }],
  });
});

test("--level stands in place of the policy's own", () => {
  expect(checkPolicy("level: privileged", sandbox(), "--level", "restricted")).toMatchObject({
    code: 1,
    level: "restricted",
    violations: expect.arrayContaining([expect.objectContaining({ rule: expect.stringMatching(/: --level$/) })]),
  });
  expect(checkPolicy(HARDENED, sandbox({ securityContext: { runAsNonRoot: false } }), "--level", "privileged")).toMatchObject({ code: 0 });
});

test("what only the image can say is told as open, a user that the file names is held against the limits", () => {
  const policy = "limits: {userIds: [{min: 1000, max: 1999}]}";
  const warnings = [expect.stringMatching(/^spec\.containers\[0\]\.securityContext\.runAsUser: the image decides/)];
  expect(checkPolicy(policy, sandbox())).toMatchObject({ code: 0, admitted: true, warnings });
  const asRoot = checkPolicy(policy, sandbox({ securityContext: { runAsUser: 0 } }));
  expect(asRoot).toMatchObject({ code: 1, warnings: [], violations: [{ value: "0", allowed: "1000 to 1999" }] });
});

test("a file with faults is held against the level alone, and that is told", () => {
  const faulty = checkPolicy(HARDENED, sandbox({ securityContext: { runAsUser: -1 } }));
  expect(faulty).toMatchObject({ code: 1, warnings: [expect.stringContaining("the document has faults")] });
  expect(faulty["faults"]).toHaveLength(1);
});

test("a wrong policy is a failure that names the fault", () => {
  expect(checkPolicy("limit: {}", sandbox())).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field: "limit" }] });
});
