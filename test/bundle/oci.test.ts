import { expect, test } from "vitest";
import { configJson, type OciConfig } from "../../src/bundle/oci.ts";
import { render } from "../../src/bundle/render.ts";
import { refusal, renderApp, renderInput } from "./rendering.ts";

/** A config.json in which every field that berth ever writes is there. */
function fullConfig(): OciConfig {
  const securityContext = {
    runAsUser: 1000,
    runAsGroup: 7,
    umask: 0o27,
    allowPrivilegeEscalation: false,
    capabilities: { add: ["NET_ADMIN"], ambient: "auto" },
    seccompProfile: { type: "RuntimeDefault" },
  };
  const config = renderApp(
    { container: { securityContext, env: [{ name: "TOKEN", value: "secret" }] } },
    { sandbox: { securityContext: { supplementalGroups: [9] } } },
  );
  return { ...config, hostname: "ship" };
}

/** Sets what the pointer names; undefined takes it away. */
function withValue(pointer: string, value: unknown): OciConfig {
  const config = fullConfig();
  const keys = pointer
    .slice(1)
    .split("/")
    .map((key) => key.replaceAll("~1", "/"));
  const last = keys.pop() ?? "";
  const parent = keys.reduce<Record<string, unknown>>((inner, key) => inner[key] as Record<string, unknown>, { ...config });
  const target = keys.length === 0 ? (config as unknown as Record<string, unknown>) : parent;
  if (value === undefined) delete target[last];
  else target[last] = value;
  return config;
}

test("what render makes is written", () => {
  expect(JSON.parse(configJson(fullConfig()))).toMatchObject({ ociVersion: "1.0.2", process: { user: { uid: 1000, umask: 0o27 } } });
});

const UNKNOWN_KEYS = ["/hooks", "/process/oomScoreAdj", "/process/user/username", "/linux/mountLabel", "/linux/resources/memory"];
const MORE_UNKNOWN_KEYS = ["/root/x", "/mounts/0/uidMappings", "/linux/namespaces/0/x", "/process/capabilities/x", "/linux/seccomp/flags"];

test.each([...UNKNOWN_KEYS, ...MORE_UNKNOWN_KEYS])("%s, which berth never writes, is not written", (pointer) => {
  expect(refusal(() => configJson(withValue(pointer, [])))).toMatchObject({
    reason: "Internal",
    message: `berth made a config.json that it must not write: ${pointer} is not in the schema`,
  });
});

const CAPS = ["CAP_KILL", "CAP_NET_ADMIN"];

test.each<[pointer: string, value: unknown, named?: string]>([
  ["/ociVersion", "1.1.0"],
  ["/process", undefined],
  ["/process/terminal", true],
  ["/process/user/uid", -1],
  ["/process/user/uid", 2_147_483_648],
  ["/process/user/uid", "1000"],
  ["/process/user/gid", 1.5],
  ["/process/user/umask", 0o1000],
  ["/process/user/additionalGids", [7, 9, 9]],
  ["/process/user/additionalGids", [9, 7]],
  ["/process/user/additionalGids/1", 4_294_967_295],
  ["/process/args", []],
  ["/process/args/0", "s\0h"],
  ["/process/env/0", "=x"],
  ["/process/env/0", "PATH"],
  ["/process/env/0", "A=b\0"],
  ["/process/cwd", ""],
  ["/process/cwd", "tmp"],
  ["/process/capabilities/bounding/0", "CAP_CAP_KILL"],
  ["/process/capabilities/bounding/0", "KILL"],
  ["/process/capabilities/ambient", ["CAP_NET_ADMIN", "CAP_NET_ADMIN"]],
  ["/process/capabilities/bounding", CAPS, "/process/capabilities/permitted"],
  ["/process/capabilities/effective", CAPS],
  ["/process/capabilities/effective", []],
  ["/process/capabilities/inheritable", ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]],
  ["/process/capabilities/ambient", ["CAP_SYS_ADMIN"]],
  ["/process/capabilities/inheritable", CAPS.slice(0, 1), "/process/capabilities/ambient"],
  ["/process/rlimits/0/type", "RLIMIT_FILES"],
  ["/process/rlimits/0/soft", 1025n],
  ["/process/rlimits/0/hard", 2n ** 64n],
  ["/process/rlimits/0/soft", 1024],
  ["/process/noNewPrivileges", false],
  ["/root/path", "rootfs"],
  ["/root/readonly", undefined],
  ["/hostname", "Ship"],
  ["/mounts/0/destination", "proc"],
  ["/mounts/0/destination", "/"],
  ["/mounts/0/destination", "/tmp/../proc"],
  ["/mounts/0/destination", "/proc/"],
  ["/mounts/0/type", "ext4"],
  ["/mounts/0/source", ""],
  ["/mounts/0/options/0", "ro,exec"],
  ["/annotations/a~1b", 1],
  ["/linux/cgroupsPath", "berth.slice/x"],
  ["/linux/cgroupsPath", "/berth.slice/../x"],
  ["/linux/resources", undefined],
  ["/linux/resources/devices/0/access", "rwx"],
  ["/linux/namespaces/0/type", "user"],
  ["/linux/namespaces/0/type", "mount", "/linux/namespaces"],
  ["/linux/namespaces/2/path", "net"],
  ["/linux/maskedPaths/0", "proc/kcore"],
  ["/linux/readonlyPaths/0", "/"],
  ["/linux/seccomp/defaultAction", "SCMP_ACT_NOTIFY"],
  ["/linux/seccomp/syscalls/0/names", []],
  ["/linux/seccomp/syscalls/0/errnoRet", 1],
])("%s is never %s", (pointer, value, named = pointer) => {
  const { reason, message } = refusal(() => configJson(withValue(pointer, value)));
  expect(reason).toBe("Internal");
  expect(message.replace(/^.*?write: /, "").split(" ")[0]).toBe(named);
});

test("what it says names no value, which may be a secret", () => {
  expect(refusal(() => configJson(withValue("/process/env/1", "TOKEN secret"))).message).toBe(
    "berth made a config.json that it must not write: /process/env/1 is not NAME=VALUE",
  );
});

test("a container whose config.json is wrong is named", () => {
  const input = renderInput([{}, {}]);
  const places = new Map(input.places).set("c1", { id: "1".repeat(32), rootfs: "rootfs" });
  expect(refusal(() => render({ ...input, places }))).toMatchObject({
    reason: "Internal",
    message: "berth made a config.json that it must not write: /root/path is not an absolute path",
    detail: { container: "c1" },
  });
});
