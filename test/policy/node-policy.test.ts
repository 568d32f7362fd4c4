import { describe, expect, test } from "vitest";
import { BerthError } from "../../src/errors.ts";
import { BUILT_IN_POLICY } from "../../src/policy/policy.ts";
import { policyOf } from "./admitting.ts";

/** FIELD = VALUE: RULE of each fault; the message must name the file, and each with its line. */
function faults(policy: unknown): string[] {
  try {
    policyOf(policy);
  } catch (error) {
    if (!(error instanceof BerthError) || error.reason !== "InvalidRequest") throw error;
    return (error.detail.violations ?? []).map(({ field, value, rule, allowed }) => {
      expect(error.message).toContain("policy.yaml");
      expect(error.message).toContain(rule);
      expect(allowed, field).not.toBe("");
      return `${field} = ${value}: ${rule}`;
    });
  }
  throw new Error("it was not refused");
}

test.each(["", "# nothing\n", "{}", "null\n"])("a file that says nothing is the built-in policy: %j", (text) => {
  expect({ ...policyOf(text) }).toEqual(BUILT_IN_POLICY);
});

test("each value has the line that says it", () => {
  const { sources } = policyOf(`# who may what
level: baseline
limits:
  capabilities:
    - NET_ADMIN
  userIds: [{min: 1, max: 9}]
runtimeClasses:

  crun: {"userIds": [{min: 2, max: 3}]}
defaults:
  runAsUser: 2
  capabilities:
    drop: [ALL]
`);
  expect(Object.fromEntries(sources)).toMatchObject({
    level: "policy.yaml:2 level",
    "limits.capabilities": "policy.yaml:4 limits.capabilities",
    "limits.userIds": "policy.yaml:6 limits.userIds",
    "runtimeClasses.crun.userIds": "policy.yaml:9 runtimeClasses.crun.userIds",
    "defaults.runAsUser": "policy.yaml:11 defaults.runAsUser",
    "defaults.capabilities.drop": "policy.yaml:13 defaults.capabilities.drop",
  });
});

describe("a wrong file is refused", () => {
  test("with every wrong field and its line", () => {
    const text = `level: strict
limit: {}
limits:
  capabilities: [NET_ADMIN, FLY, 7]
  userIds: [{min: 5, max: 4}, {min: -1, max: 4294967295}]
  runtimeClasses: runsc
  seccompProfiles: [Localhost, runtime/default]
  registries: [""]
  allowPrivilegeEscalation: "no"
runtimeClasses: {crun: {runtimeClasses: [crun]}}
defaults: {runAsUser: "0", seccompProfile: {type: Localhost, localhostProfile: ../a}, umask: 1}
`;
    expect(faults(text)).toEqual([
      'level = "strict": Invalid option: expected one of "privileged"|"baseline"|"restricted"',
      'limits.capabilities[1] = "FLY": is not a capability of the kernel',
      "limits.capabilities[2] = 7: is not a text",
      'limits.userIds[0] = {"min":5,"max":4}: has a min above its max',
      "limits.userIds[1].min = -1: is not an id",
      "limits.userIds[1].max = 4294967295: is not an id",
      'limits.runtimeClasses = "runsc": Invalid input: expected array, received string',
      'limits.registries[0] = "": is empty',
      'limits.seccompProfiles[0] = "Localhost": is not a seccomp profile',
      'limits.seccompProfiles[1] = "runtime/default": is not a seccomp profile',
      'limits.allowPrivilegeEscalation = "no": Invalid input: expected boolean, received string',
      'runtimeClasses.crun.runtimeClasses = ["crun"]: is not a field that berth knows',
      'defaults.runAsUser = "0": is not a whole number',
      'defaults.seccompProfile.localhostProfile = "../a": is not a clean relative path',
      "defaults.umask = 1: is not a field that berth knows",
      "limit = {}: is not a field that berth knows",
    ]);
    expect(() => policyOf(text)).toThrow(
      /line 4: limits\.capabilities\[1\]: .*line 5: limits\.userIds\[1\]\.max: .*line 11: defaults\.umask: /,
    );
  });

  test.each([
    ["two keys of one name", "limits: {}\nlevel: baseline\nlevel: privileged\n", "/etc/berth/policy.yaml:3:1"],
    ["no YAML", "limits: [\n", "/etc/berth/policy.yaml:2:1"],
    ["two documents", "level: baseline\n---\nlevel: privileged\n", "/etc/berth/policy.yaml:2:1"],
    ["more than 1 MiB", `# ${"x".repeat(1024 * 1024)}`, "/etc/berth/policy.yaml"],
    ["a tag", "level: !!binary aGk=\n", "/etc/berth/policy.yaml:1:17"],
  ])("%s", (_title, text, where) => {
    expect(faults(text)[0]).toMatch(new RegExp(`^${where} = `));
  });

  test.each([
    ["a list", "[1]"],
    ["a text", "baseline"],
  ])("%s", (_title, text) => {
    expect(faults(text)).toEqual([expect.stringContaining("expected object")]);
  });

  test("when it names a class that the node does not have, or an alias where limits stand under names", () => {
    expect(faults({ runtimeClasses: { gvisor: {}, kata: { userIds: [] } }, defaults: { runtimeClassName: "kata" } })).toEqual([
      "runtimeClasses.gvisor = gvisor: is not a runtime class of this node",
      "runtimeClasses.kata = kata: is not a runtime class of this node",
      "defaults.runtimeClassName = kata: is not a runtime class of this node",
    ]);
    expect(policyOf({ runtimeClasses: { runsc: {} }, defaults: { runtimeClassName: "gvisor" } }).defaults.runtimeClassName).toBe("gvisor");
  });
});

describe("a default that the same file does not allow is refused", () => {
  test.each([
    ["a user", { limits: { userIds: [{ min: 1, max: 9 }] }, defaults: { runAsUser: 10 } }, "defaults.runAsUser = 10", "limits.userIds"],
    ["a group", { limits: { groupIds: [{ min: 1, max: 9 }] }, defaults: { runAsGroup: 0 } }, "defaults.runAsGroup = 0", "limits.groupIds"],
    [
      "a user, in one class",
      { runtimeClasses: { crun: { userIds: [{ min: 1, max: 9 }] } }, defaults: { runAsUser: 10 } },
      "defaults.runAsUser = 10",
      "runtimeClasses.crun.userIds",
    ],
    [
      "a profile that is allowed nowhere by itself",
      { defaults: { seccompProfile: { type: "Unconfined" } } },
      'defaults.seccompProfile = "Unconfined"',
      "built-in",
    ],
    [
      "a class",
      { limits: { runtimeClasses: ["runsc"] }, defaults: { runtimeClassName: "crun" } },
      'defaults.runtimeClassName = "crun"',
      "limits.runtimeClasses",
    ],
    [
      "escalation",
      { limits: { allowPrivilegeEscalation: false }, defaults: { allowPrivilegeEscalation: true } },
      "defaults.allowPrivilegeEscalation = true",
      "limits.allowPrivilegeEscalation",
    ],
    ["root under restricted", { level: "restricted", defaults: { runAsUser: 0 } }, "defaults.runAsUser = 0", "Running as Non-root user"],
    [
      "a profile under baseline",
      { level: "baseline", limits: { seccompProfiles: ["*"] }, defaults: { seccompProfile: { type: "Unconfined" } } },
      'defaults.seccompProfile = "Unconfined"',
      "Seccomp",
    ],
    ["root that may not be root", { defaults: { runAsUser: 0, runAsNonRoot: true } }, "defaults.runAsUser = 0", "runAsNonRoot is true"],
  ])("%s", (_title, policy, field, rule) => {
    const found = faults(policy);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(field);
    expect(found[0]).toContain(rule);
  });

  test("one that is allowed is not", () => {
    const policy = {
      level: "restricted",
      limits: { runtimeClasses: ["gvisor"], userIds: [{ min: 5, max: 5 }], allowPrivilegeEscalation: false },
      defaults: {
        runtimeClassName: "runsc",
        runAsUser: 5,
        runAsNonRoot: true,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        seccompProfile: { type: "RuntimeDefault" },
        capabilities: { drop: ["ALL"] },
      },
    };
    expect(policyOf(policy)).toMatchObject({ level: "restricted", defaults: { runAsUser: 5 } });
  });
});
