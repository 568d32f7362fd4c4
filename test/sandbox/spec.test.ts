import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BerthError, type Violation } from "../../src/errors.ts";
import { parseSandboxRequest, type SandboxRequest } from "../../src/sandbox/spec.ts";
import { runs } from "../support/property.ts";
import { rlimits, sysctls } from "../bundle/arbitraries.ts";

const SHELL = { name: "web", image: "oci:/images/busybox" };
const withMetadata = (metadata: object) => ({ metadata: { name: "box", ...metadata }, spec: { containers: [SHELL] } });
const withContainers = (...containers: unknown[]) => ({ metadata: { name: "box" }, spec: { containers } });
const withContainer = (container: object) => withContainers({ ...SHELL, ...container });
const withSecurity = (securityContext: object) => withContainer({ securityContext });
const withCapabilities = (capabilities: object) => withSecurity({ capabilities });

function violations(input: unknown): readonly Violation[] {
  try {
    parseSandboxRequest(input);
  } catch (error) {
    if (error instanceof BerthError && error.reason === "InvalidRequest") return error.detail.violations ?? [];
    throw error;
  }
  throw new Error(`it was not refused: ${JSON.stringify(input)}`);
}
/** Field, value and rule of each violation; each must name a way out. */
function faults(input: unknown): string[] {
  return violations(input).map(({ field, rule, value, allowed }) => {
    expect(allowed, field).not.toBe("");
    return `${field} = ${value}: ${rule}`;
  });
}
const containerOf = (request: SandboxRequest) => request.spec.containers[0];

const USER = "spec.containers[0].securityContext.runAsUser";
const ADD = "spec.containers[0].securityContext.capabilities.add";
const AMBIENT = "spec.containers[0].securityContext.capabilities.ambient";

test("the least that can be asked for, with all that it leaves out", () => {
  expect(parseSandboxRequest(withContainers(SHELL))).toEqual({
    metadata: { namespace: "default", name: "box", labels: {}, annotations: {} },
    spec: {
      runtimeClassName: "",
      containers: [
        {
          ...SHELL,
          command: [],
          args: [],
          env: [],
          workingDir: "",
          securityContext: { capabilities: { add: [], drop: [], ambient: "never" } },
          volumeMounts: [],
          rlimits: [],
          devices: [],
        },
      ],
      securityContext: { supplementalGroups: [], supplementalGroupsPolicy: "Merge", sysctls: [] },
      hostname: "",
      requireEnforcement: false,
      volumes: [],
      hostAliases: [],
      restartPolicy: "Never",
    },
  });
});

test.each([
  [-1, "-1", "is out of range"],
  [2_147_483_648, "2147483648", "is out of range"],
  [4_294_967_295, "4294967295", "is out of range"],
  [4_294_967_296, "4294967296", "is out of range"],
  ["1000", '"1000"', "is not a whole number"],
  [1.5, "1.5", "is not a whole number"],
  [Number.NaN, '"NaN"', "is not a whole number"],
  [Number.POSITIVE_INFINITY, '"Infinity"', "is not a whole number"],
  [null, "null", "is not a whole number"],
  [true, "true", "is not a whole number"],
  [1000n, '"1000"', "is not a whole number"],
])("runAsUser and runAsGroup %s are refused", (value, shown, rule) => {
  expect(faults(withSecurity({ runAsUser: value }))).toEqual([`${USER} = ${shown}: ${rule}`]);
  expect(faults(withSecurity({ runAsGroup: value }))).toEqual([`spec.containers[0].securityContext.runAsGroup = ${shown}: ${rule}`]);
});

test("a quoted id is told how to be written, a wrong one its range", () => {
  expect(violations(withSecurity({ runAsUser: "1000" }))[0]?.allowed).toBe("a whole number, not quoted");
  expect(violations(withSecurity({ runAsUser: 4_294_967_296 }))[0]?.allowed).toBe("0 to 2147483647");
});

test("unset and 0 differ, and the largest id passes", () => {
  expect(containerOf(parseSandboxRequest(withSecurity({ runAsUser: 0 })))?.securityContext.runAsUser).toBe(0);
  expect(containerOf(parseSandboxRequest(withSecurity({})))?.securityContext).not.toHaveProperty("runAsUser");
  expect(containerOf(parseSandboxRequest(withSecurity({ runAsGroup: 2_147_483_647 })))?.securityContext.runAsGroup).toBe(2_147_483_647);
});

test.each(["NOT_A_CAP", "CAP_CAP_KILL", "NET ADMIN", "ſys_admin"])("the capability %j is refused by name, in add and in drop", (name) => {
  const rule = "is not a capability of the kernel";
  expect(faults(withCapabilities({ add: ["CHOWN", name] }))).toEqual([`${ADD}[1] = ${JSON.stringify(name)}: ${rule}`]);
  expect(faults(withCapabilities({ drop: [name] }))).toEqual([
    `spec.containers[0].securityContext.capabilities.drop[0] = ${JSON.stringify(name)}: ${rule}`,
  ]);
});

test("every bad capability of a list is named, beside entries that are no text", () => {
  expect(faults(withCapabilities({ add: ["A", 3, "CHOWN", "B"] }))).toEqual([
    `${ADD}[0] = "A": is not a capability of the kernel`,
    `${ADD}[1] = 3: is not a text`,
    `${ADD}[3] = "B": is not a capability of the kernel`,
  ]);
  expect(faults(withCapabilities({ add: "CHOWN" }))).toEqual([`${ADD} = "CHOWN": Invalid input: expected array, received string`]);
});

test("capabilities come in normal form, blanks skipped and repeats dropped", () => {
  const { capabilities } =
    containerOf(parseSandboxRequest(withCapabilities({ add: ["net_admin", "", " CAP_NET_ADMIN ", "all"], drop: [" "] })))
      ?.securityContext ?? {};
  expect(capabilities).toEqual({ add: ["CAP_NET_ADMIN", "ALL"], drop: [], ambient: "never" });
});

test("ambient is a mode or a list within the final set; faults stand at the entry that was sent", () => {
  const not = "is not in the container's final set";
  expect(faults(withCapabilities({ ambient: "always" }))).toEqual([`${AMBIENT} = "always": is not never, auto or a list of capabilities`]);
  expect(faults(withCapabilities({ ambient: ["", "KILL", "kill", "CHOWN"] }))).toEqual([`${AMBIENT}[3] = "CHOWN": ${not}`]);
  expect(faults(withCapabilities({ add: ["CHOWN"], drop: ["ALL"], ambient: ["CHOWN", "KILL"] }))).toEqual([
    `${AMBIENT}[1] = "KILL": ${not}`,
  ]);
  expect(faults(withCapabilities({ add: ["ALL"], ambient: ["ALL"] }))).toEqual([`${AMBIENT}[0] = "ALL": ALL is not a single capability`]);
  expect(faults(withCapabilities({ ambient: [" ", "NOPE"] }))).toEqual([`${AMBIENT}[1] = "NOPE": is not a capability of the kernel`]);
  expect(violations(withCapabilities({ drop: ["ALL"], ambient: ["KILL"] }))[0]?.allowed).toBe("nothing: the set is empty");
});

const withSpec = (spec: object) => ({ metadata: { name: "box" }, spec: { containers: [SHELL], ...spec } });
const withSandboxContext = (securityContext: object | null) => withSpec({ securityContext });
const NO_BOOLEAN = "Invalid input: expected boolean, received";
const NOT_WHOLE = "is not a whole number";
const NO_MASK = "is not a file mode creation mask";
const NO_HOSTNAME = ["is not a DNS label", "1 to 63 lower-case letters, digits and '-', a letter or digit at both ends"] as const;
const OWN = "spec.containers[0].securityContext";
const COMMON = "spec.securityContext";
const BOOLEAN = "a value of type boolean";
const UNQUOTED = "a whole number, not quoted";
const MASKS = "0 to 511 (0o777)";
const IDS = "0 to 2147483647";

test.each([
  [withSecurity({ runAsNonRoot: "true" }), `${OWN}.runAsNonRoot`, '"true"', `${NO_BOOLEAN} string`, BOOLEAN],
  [withSecurity({ runAsNonRoot: null }), `${OWN}.runAsNonRoot`, "null", `${NO_BOOLEAN} null`, BOOLEAN],
  [withSecurity({ allowPrivilegeEscalation: 0 }), `${OWN}.allowPrivilegeEscalation`, "0", `${NO_BOOLEAN} number`, BOOLEAN],
  [withSecurity({ readOnlyRootFilesystem: [] }), `${OWN}.readOnlyRootFilesystem`, "[]", `${NO_BOOLEAN} array`, BOOLEAN],
  [withSecurity({ umask: "0022" }), `${OWN}.umask`, '"0022"', NOT_WHOLE, UNQUOTED],
  [withSecurity({ umask: 0o1000 }), `${OWN}.umask`, "512", NO_MASK, MASKS],
  [withSecurity({ umask: -1 }), `${OWN}.umask`, "-1", NO_MASK, MASKS],
  [withSecurity({ umask: 1.5 }), `${OWN}.umask`, "1.5", NO_MASK, MASKS],
  [withSecurity({ umask: Number.NaN }), `${OWN}.umask`, '"NaN"', NOT_WHOLE, UNQUOTED],
  [withSandboxContext({ runAsUser: "1000" }), `${COMMON}.runAsUser`, '"1000"', NOT_WHOLE, UNQUOTED],
  [withSandboxContext({ runAsUser: 2 ** 32 }), `${COMMON}.runAsUser`, "4294967296", "is out of range", IDS],
  [withSandboxContext({ runAsGroup: -1 }), `${COMMON}.runAsGroup`, "-1", "is out of range", IDS],
  [withSandboxContext({ runAsNonRoot: 1 }), `${COMMON}.runAsNonRoot`, "1", `${NO_BOOLEAN} number`, BOOLEAN],
  [
    withSandboxContext({ supplementalGroups: 5 }),
    `${COMMON}.supplementalGroups`,
    "5",
    "Invalid input: expected array, received number",
    "a value of type array",
  ],
  [withSandboxContext({ supplementalGroups: [1, "5"] }), `${COMMON}.supplementalGroups[1]`, '"5"', NOT_WHOLE, UNQUOTED],
  [withSandboxContext({ supplementalGroups: [2 ** 31] }), `${COMMON}.supplementalGroups[0]`, "2147483648", "is out of range", IDS],
  [withSandboxContext({ supplementalGroups: [1.5] }), `${COMMON}.supplementalGroups[0]`, "1.5", NOT_WHOLE, IDS],
  [
    withSandboxContext({ supplementalGroupsPolicy: "merge" }),
    `${COMMON}.supplementalGroupsPolicy`,
    '"merge"',
    'Invalid option: expected one of "Merge"|"Strict"',
    "Merge, Strict",
  ],
  [
    withSandboxContext({ supplementalGroupsPolicy: 7 }),
    `${COMMON}.supplementalGroupsPolicy`,
    "7",
    'Invalid option: expected one of "Merge"|"Strict"',
    "Merge, Strict",
  ],
  [withSandboxContext(null), COMMON, "null", "Invalid input: expected object, received null", "a value of type object"],
  [withSandboxContext({ capabilities: {} }), `${COMMON}.capabilities`, "{}", "is not a field that berth knows", "leave it out"],
  [withSandboxContext({ umask: 1 }), `${COMMON}.umask`, "1", "is not a field that berth knows", "leave it out"],
  [withSecurity({ supplementalGroups: [] }), `${OWN}.supplementalGroups`, "[]", "is not a field that berth knows", "leave it out"],
  [withSpec({ hostname: "A" }), "spec.hostname", '"A"', ...NO_HOSTNAME],
  [withSpec({ hostname: "a.b" }), "spec.hostname", '"a.b"', ...NO_HOSTNAME],
  [withSpec({ hostname: "a\n" }), "spec.hostname", String.raw`"a\n"`, ...NO_HOSTNAME],
  [withSpec({ hostname: "a".repeat(64) }), "spec.hostname", `"${"a".repeat(64)}"`, ...NO_HOSTNAME],
  [withSpec({ hostname: 5 }), "spec.hostname", "5", "Invalid input: expected string, received number", "a value of type string"],
  [withSpec({ restartPolicy: "Sometimes" }), "spec.restartPolicy", '"Sometimes"', "is not a restart policy", "Never, OnFailure, Always"],
  [withSpec({ activeDeadlineSeconds: 0 }), "spec.activeDeadlineSeconds", "0", "is out of range", "1 to 2147483647"],
  [withSpec({ ttlSecondsAfterFinished: -1 }), "spec.ttlSecondsAfterFinished", "-1", "is out of range", "0 to 2147483647"],
  [withSpec({ ttlSecondsAfterFinished: 1.5 }), "spec.ttlSecondsAfterFinished", "1.5", "is not a whole number", "0 to 2147483647"],
  [withSpec({ terminationGracePeriodSeconds: 3601 }), "spec.terminationGracePeriodSeconds", "3601", "is out of range", "0 to 3600"],
  [withSpec({ expiresAt: "tomorrow" }), "spec.expiresAt", '"tomorrow"', "is not a time", "RFC 3339, such as 2026-11-21T10:00:00Z"],
  [withSpec({ requireEnforcement: "yes" }), "spec.requireEnforcement", '"yes"', `${NO_BOOLEAN} string`, BOOLEAN],
])("a bad value of the security context is refused with field, value and way out (%#)", (input, field, value, rule, allowed) => {
  expect(violations(input)).toEqual([{ field, value, rule, allowed }]);
});

test("allowPrivilegeEscalation: false is refused where SYS_ADMIN is in the final set, however it got there", () => {
  const refused = (capabilities: object) => violations(withSecurity({ allowPrivilegeEscalation: false, capabilities }));
  const violation = {
    field: `${OWN}.allowPrivilegeEscalation`,
    value: "false",
    rule: "cannot be false with the capability SYS_ADMIN",
    allowed: "leave it out, or do not add SYS_ADMIN",
  };
  for (const add of [["SYS_ADMIN"], ["cap_sys_admin"], ["ALL"]]) expect(refused({ add })).toEqual([violation]);
  expect(refused({ add: ["SYS_ADMIN"], drop: ["ALL"] })).toEqual([violation]);
  for (const capabilities of [{ add: ["ALL"], drop: ["SYS_ADMIN"] }, { add: ["ALL"], drop: ["ALL"] }, { add: ["NET_ADMIN"] }, {}]) {
    expect(() => parseSandboxRequest(withSecurity({ allowPrivilegeEscalation: false, capabilities }))).not.toThrow();
  }
  for (const context of [{ allowPrivilegeEscalation: true }, {}]) {
    expect(() => parseSandboxRequest(withSecurity({ ...context, capabilities: { add: ["ALL"] } }))).not.toThrow();
  }
  expect(faults(withSecurity({ allowPrivilegeEscalation: false, capabilities: { add: ["NOPE"] } }))).toEqual([
    `${ADD}[0] = "NOPE": is not a capability of the kernel`,
  ]);
});

test.each([
  [{ runAsUser: "1" }, `${USER} = "1": is not a whole number`],
  [{ privileged: "no" }, `${OWN}.privileged = "no": ${NO_BOOLEAN} string`],
  [{ windowsOptions: {} }, `${OWN}.windowsOptions = {}: is not a field that berth knows`],
])("that is told beside another field that is wrong: %j", (wrong, fault) => {
  const context = { allowPrivilegeEscalation: false, capabilities: { add: ["SYS_ADMIN"] }, ...wrong };
  expect(faults(withSecurity(context)).toSorted()).toEqual(
    [fault, `${OWN}.allowPrivilegeEscalation = false: cannot be false with the capability SYS_ADMIN`].toSorted(),
  );
});

test("values at their limits are taken, and false and 0 are not nothing", () => {
  const own = { runAsNonRoot: false, allowPrivilegeEscalation: false, readOnlyRootFilesystem: false, umask: 0 };
  expect(containerOf(parseSandboxRequest(withSecurity(own)))?.securityContext).toMatchObject(own);
  expect(containerOf(parseSandboxRequest(withSecurity({ umask: 0o777 })))?.securityContext.umask).toBe(511);
  const common = {
    runAsUser: 0,
    runAsGroup: 0,
    runAsNonRoot: false,
    supplementalGroups: [0, 2_147_483_647],
    supplementalGroupsPolicy: "Strict",
    sysctls: [{ name: "net.ipv4.ping_group_range", value: "0".repeat(4095) }],
  };
  expect(parseSandboxRequest(withSandboxContext(common)).spec.securityContext).toEqual(common);
  for (const hostname of ["", "0", "a".repeat(63)]) expect(parseSandboxRequest(withSpec({ hostname })).spec.hostname).toBe(hostname);
});

test("a sandbox asks for at most 1024 groups", () => {
  const many = (count: number) => withSandboxContext({ supplementalGroups: Array.from({ length: count }, (_, index) => index) });
  expect(parseSandboxRequest(many(1024)).spec.securityContext.supplementalGroups).toHaveLength(1024);
  expect(violations(many(1025))).toMatchObject([
    { field: `${COMMON}.supplementalGroups`, rule: "has more than 1024 entries", allowed: "at most 1024" },
  ]);
});

const LABEL = "is not a DNS label";
test.each([
  ["a/b", LABEL],
  ["..", LABEL],
  [".", LABEL],
  ["a\0", LABEL],
  ["a".repeat(64), LABEL],
  ["", LABEL],
  ["A", LABEL],
  ["-a", LABEL],
  ["a-", LABEL],
  ["a_b", LABEL],
  ["a\n", LABEL],
  ["é", LABEL],
])("the name %j is refused for sandbox, namespace and container", (name, rule) => {
  const shown = JSON.stringify(name);
  expect(faults(withMetadata({ name }))).toEqual([`metadata.name = ${shown}: ${rule}`]);
  expect(faults(withMetadata({ namespace: name }))).toEqual([`metadata.namespace = ${shown}: ${rule}`]);
  expect(faults(withContainer({ name }))).toEqual([`spec.containers[0].name = ${shown}: ${rule}`]);
});

test("names at their limits", () => {
  expect(parseSandboxRequest(withMetadata({ name: "a".repeat(63), namespace: "0" })).metadata).toMatchObject({ namespace: "0" });
  expect(faults(withMetadata({ name: "0123456789abcdef".repeat(2) }))).toEqual([
    'metadata.name = "0123456789abcdef0123456789abcdef": has the form of an id',
  ]);
  expect(parseSandboxRequest(withMetadata({ name: "g".repeat(32) })).metadata.name).toBe("g".repeat(32));
  expect(faults(withContainer({ name: "pause" }))).toEqual(['spec.containers[0].name = "pause": is reserved']);
  expect(faults({ metadata: {}, spec: { containers: [SHELL] } })).toEqual(["metadata.name = nothing: is required"]);
});

test("two containers of one name are refused at each repeat, whatever else is wrong", () => {
  const repeated = "is used by another container of the sandbox";
  expect(faults(withContainers(SHELL, { ...SHELL, name: "b" }, SHELL, SHELL))).toEqual([
    `spec.containers[2].name = "web": ${repeated}`,
    `spec.containers[3].name = "web": ${repeated}`,
  ]);
  expect(faults(withContainers({ ...SHELL, securityContext: { runAsUser: "1" } }, { ...SHELL, command: "sh" }))).toEqual([
    `${USER} = "1": is not a whole number`,
    'spec.containers[1].command = "sh": Invalid input: expected array, received string',
    `spec.containers[1].name = "web": ${repeated}`,
  ]);
});

test("a sandbox has 1 to 64 containers", () => {
  const many = (count: number) => withContainers(...Array.from({ length: count }, (_, index) => ({ ...SHELL, name: `c${index}` })));
  expect(parseSandboxRequest(many(64)).spec.containers).toHaveLength(64);
  expect(violations(many(65))).toMatchObject([{ field: "spec.containers", rule: "has more than 64 entries", allowed: "at most 64" }]);
  expect(faults(many(0))).toEqual(["spec.containers = []: is empty"]);
  expect(faults({ metadata: { name: "box" }, spec: {} })).toEqual(["spec.containers = nothing: is required"]);
});

test.each([
  ["busybox", /must be oci:PATH/],
  ["", /must be oci:PATH/],
  ["docker://busybox", /must be oci:PATH/],
  ["oci:images/busybox", /absolute/],
  ["oci:/images/../etc", /plain/],
  ["oci:/images:a b", /tag/],
])("the image %j is refused", (image, rule) => {
  const [violation, ...others] = violations(withContainer({ image }));
  expect(others).toEqual([]);
  expect(violation).toMatchObject({ field: "spec.containers[0].image", value: JSON.stringify(image) });
  expect(violation?.rule).toMatch(rule);
  expect(violation?.allowed).toBe("oci:PATH[:TAG] with an absolute path");
});

test("NUL is refused in every text of a container, at its own place", () => {
  const nul = "contains a NUL character";
  const bad = { command: ["a", "b\0"], args: ["\0"], env: [{ name: "A", value: "\0" }], workingDir: "/\0" };
  expect(faults(withContainer(bad))).toEqual([
    String.raw`spec.containers[0].command[1] = "b\u0000": ${nul}`,
    String.raw`spec.containers[0].args[0] = "\u0000": ${nul}`,
    String.raw`spec.containers[0].env[0].value = "\u0000": ${nul}`,
    String.raw`spec.containers[0].workingDir = "/\u0000": ${nul}`,
  ]);
  expect(violations(withContainer({ image: "oci:/a\0" })).map(({ field }) => field)).toContain("spec.containers[0].image");
  expect(violations(withContainer({ env: [{ name: "A\0" }] })).map(({ field }) => field)).toEqual(["spec.containers[0].env[0].name"]);
});

test("env: a name is neither empty nor has it '='; a value may be left out; valueFrom is refused by name", () => {
  expect(containerOf(parseSandboxRequest(withContainer({ env: [{ name: "A" }, { name: "b.c-d", value: "=" }] })))?.env).toEqual([
    { name: "A", value: "" },
    { name: "b.c-d", value: "=" },
  ]);
  expect(faults(withContainer({ env: [{ name: "", value: "x" }, { name: "A=B" }, { name: "C", value: 1 }, { value: "x" }] }))).toEqual([
    `spec.containers[0].env[0].name = "": is empty or contains '='`,
    `spec.containers[0].env[1].name = "A=B": is empty or contains '='`,
    "spec.containers[0].env[2].value = 1: Invalid input: expected string, received number",
    "spec.containers[0].env[3].name = nothing: is required",
  ]);
  expect(faults(withContainer({ env: [{ name: "A", valueFrom: {} }] }))).toEqual([
    "spec.containers[0].env[0].valueFrom = {}: is not a field that berth knows",
  ]);
});

test.each([
  ["tmp", "is not absolute"],
  ["./", "is not absolute"],
  ["/proc", "leads through /proc (CVE-2024-21626)"],
  ["/proc/self/fd/7", "leads through /proc (CVE-2024-21626)"],
  ["//./proc/", "leads through /proc (CVE-2024-21626)"],
  ["/tmp/../proc/self", "leads through /proc (CVE-2024-21626)"],
  ["/proc/self/fd/7/../../../..", "leads through /proc (CVE-2024-21626)"],
])("the workingDir %j is refused", (workingDir, rule) => {
  expect(faults(withContainer({ workingDir }))).toEqual([`spec.containers[0].workingDir = ${JSON.stringify(workingDir)}: ${rule}`]);
});

test.each(["", "/", "/srv/proc", "/process", "/a..b"])("the workingDir %j is taken", (workingDir) => {
  expect(containerOf(parseSandboxRequest(withContainer({ workingDir })))?.workingDir).toBe(workingDir);
});

test("labels have Kubernetes' syntax", () => {
  const good = { app: "web", "example.com/App_1.x": "", "0": "A-b_c.9", [`${"a.".repeat(126)}b/x`]: "x", ["k".repeat(63)]: "v".repeat(63) };
  expect(parseSandboxRequest(withMetadata({ labels: good })).metadata.labels).toEqual(good);
  for (const key of ["", "-a", "a-", "a b", "a/b/c", "/a", "a/", "A.com/x", "a..b/x", "a.-b/x", "k".repeat(64)]) {
    expect(faults(withMetadata({ labels: { [key]: "x" } }))).toEqual([
      `metadata.labels.${key} = ${JSON.stringify(key)}: is not a label key`,
    ]);
  }
  for (const value of ["-a", "a-", "a b", "é", "v".repeat(64), "a\n"]) {
    expect(faults(withMetadata({ labels: { app: value } }))).toEqual([
      `metadata.labels.app = ${JSON.stringify(value)}: is not a label value`,
    ]);
  }
  expect(faults(withMetadata({ labels: { app: 1 } }))).toEqual([
    "metadata.labels.app = 1: Invalid input: expected string, received number",
  ]);
});

test("a label key's prefix has at most 253 characters", () => {
  const labels = (length: number) => ({ labels: { [`${"a.".repeat(200).slice(0, length - 1)}b/x`]: "" } });
  expect(violations(withMetadata(labels(255)))).toMatchObject([{ rule: "is not a label key" }]);
  expect(parseSandboxRequest(withMetadata(labels(253))).metadata.labels).toEqual(labels(253).labels);
});

test("a runtime class has the form of a name; whether the node has it is not the parser's to say", () => {
  const withClass = (runtimeClassName: unknown) => ({ metadata: { name: "box" }, spec: { runtimeClassName, containers: [SHELL] } });
  expect(parseSandboxRequest(withClass("kata.v2")).spec.runtimeClassName).toBe("kata.v2");
  for (const name of ["../runsc", "Runsc", "a b"]) {
    expect(faults(withClass(name))).toEqual([`spec.runtimeClassName = ${JSON.stringify(name)}: is not a class name`]);
  }
});

test("a field that berth does not know is refused by name, at every level", () => {
  const unknown = "is not a field that berth knows";
  const input = {
    metadata: { name: "box", finalizers: { a: "b" } },
    spec: {
      hostNetwork: true,
      containers: [{ ...SHELL, tty: true, securityContext: { windowsOptions: true, capabilities: { bounding: [] } } }],
    },
    status: null,
  };
  expect(faults(input).toSorted()).toEqual(
    [
      `metadata.finalizers = {"a":"b"}: ${unknown}`,
      `spec.containers[0].securityContext.capabilities.bounding = []: ${unknown}`,
      `spec.containers[0].securityContext.windowsOptions = true: ${unknown}`,
      `spec.containers[0].tty = true: ${unknown}`,
      `spec.hostNetwork = true: ${unknown}`,
      `status = null: ${unknown}`,
    ].toSorted(),
  );
});

test("what is no request at all is refused too", () => {
  for (const input of [undefined, null, "x", 1, [], true]) expect(faults(input)).toHaveLength(1);
  expect(faults({})).toEqual(["metadata = nothing: is required", "spec = nothing: is required"]);
  expect(faults(withContainers(null, SHELL))).toEqual(["spec.containers[0] = null: Invalid input: expected object, received null"]);
});

test("the error's message names the first faults and counts the rest", () => {
  const bad = withContainers(...Array.from({ length: 7 }, (_, index) => ({ ...SHELL, name: `C${index}` })));
  expect(() => parseSandboxRequest(bad)).toThrow(
    /^invalid request: spec\.containers\[0\]\.name: is not a DNS label \(found "C0"; allowed: .*; and 2 more$/s,
  );
});

test("long values are shown shortened", () => {
  const [violation] = violations(withContainer({ image: "x".repeat(10_000) }));
  expect(violation?.value).toHaveLength(200);
  expect(violation?.value).toMatch(/\.\.\.$/);
});

const key = fc.constantFrom(
  ..."metadata spec name namespace labels containers image command args env value workingDir securityContext capabilities add drop ambient runAsUser runAsGroup runAsNonRoot allowPrivilegeEscalation readOnlyRootFilesystem umask rlimits type soft hard sysctls supplementalGroups supplementalGroupsPolicy hostname requireEnforcement runtimeClassName x __proto__ constructor toString".split(
    " ",
  ),
);
const leaf = fc.oneof(
  fc.string({ maxLength: 5 }),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom("web", "oci:/a", "KILL"),
);
/** Shapes that come near to a request, so that the parser gets far. */
const near = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    leaf,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(key, tie("value"), { maxKeys: 4 }),
  ),
})).value;
const mostly = fc.record(
  {
    metadata: fc.oneof(fc.constant({ name: "box" }), near),
    spec: fc.oneof(
      fc.record({
        containers: fc.array(fc.record({ name: near, image: near, securityContext: near, env: near }, { requiredKeys: [] }), {
          maxLength: 2,
        }),
      }),
      near,
    ),
  },
  { requiredKeys: [] },
);

test("whatever JSON comes, it is parsed or refused with violations that have all their parts", () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), near, mostly), (input) => {
      try {
        // As JSON comes: its objects have a prototype.
        parseSandboxRequest(JSON.parse(JSON.stringify(input)));
      } catch (error) {
        expect(error).toBeInstanceOf(BerthError);
        const { reason, detail } = error as BerthError;
        expect(reason).toBe("InvalidRequest");
        expect(detail.violations?.length).toBeGreaterThanOrEqual(1);
        for (const { rule, value, allowed } of detail.violations ?? []) expect([rule, value, allowed]).not.toContain("");
      }
    }),
    runs(3000),
  );
});

const label = fc.stringMatching(/^[a-f]([-a-z]{0,3}[a-z])?$/).filter((name) => name !== "pause");
const text = fc.string({ unit: "binary", maxLength: 6 }).filter((value) => !value.includes("\0"));
const entry = fc.constantFrom("ALL", "KILL", "net_admin", " CAP_CHOWN ", "", "chown");
const container = fc.record(
  {
    image: fc.constantFrom("oci:/a", "oci:/a:b"),
    command: fc.array(text, { maxLength: 2 }),
    args: fc.array(text, { maxLength: 2 }),
    env: fc.array(fc.record({ name: fc.stringMatching(/^[A-Z_]{1,3}$/), value: text }), { maxLength: 2 }),
    workingDir: fc.constantFrom("", "/", "/a/../b"),
    rlimits,
    securityContext: fc.record(
      {
        capabilities: fc.record(
          {
            add: fc.array(entry, { maxLength: 4 }),
            drop: fc.array(entry, { maxLength: 2 }),
            ambient: fc.constantFrom("never", "auto", []),
          },
          { requiredKeys: [] },
        ),
        runAsUser: fc.nat(),
        runAsGroup: fc.nat(),
        runAsNonRoot: fc.boolean(),
        allowPrivilegeEscalation: fc.constant(true),
        readOnlyRootFilesystem: fc.boolean(),
        umask: fc.integer({ min: 0, max: 0o777 }),
        privileged: fc.boolean(),
        procMount: fc.constantFrom("Default", "Unmasked"),
        appArmorProfile: fc.constantFrom({ type: "RuntimeDefault" }, { type: "Localhost", localhostProfile: "a b" }),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: ["image"] },
);
const requests = fc
  .record({
    name: label,
    namespace: label,
    containers: fc.uniqueArray(fc.tuple(label, container), { minLength: 1, maxLength: 3, selector: ([name]) => name }),
    spec: fc.record(
      {
        securityContext: fc.record(
          {
            runAsUser: fc.nat(),
            runAsGroup: fc.nat(),
            runAsNonRoot: fc.boolean(),
            supplementalGroups: fc.array(fc.nat(), { maxLength: 3 }),
            supplementalGroupsPolicy: fc.constantFrom("Merge", "Strict"),
            sysctls,
          },
          { requiredKeys: [] },
        ),
        hostname: fc.oneof(fc.constant(""), label),
        requireEnforcement: fc.boolean(),
        restartPolicy: fc.constantFrom("Never", "OnFailure", "Always"),
        activeDeadlineSeconds: fc.integer({ min: 1, max: 2_147_483_647 }),
        ttlSecondsAfterFinished: fc.integer({ min: 0, max: 2_147_483_647 }),
        terminationGracePeriodSeconds: fc.integer({ min: 0, max: 3600 }),
        expiresAt: fc.constantFrom("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.123456+01:30"),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ name, namespace, containers, spec }) => ({
    metadata: { name, namespace, labels: { [name]: namespace }, annotations: { [namespace]: "\u0001" } },
    spec: { ...spec, containers: containers.map(([own, rest]) => ({ ...rest, name: own })) },
  }));

test("a parsed request that is printed and parsed again is the same", () => {
  fc.assert(
    fc.property(requests, (input) => {
      const parsed = parseSandboxRequest(input);
      expect(parseSandboxRequest(JSON.parse(JSON.stringify(parsed)))).toStrictEqual(parsed);
    }),
    runs(500),
  );
});
