import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { explain } from "../../src/bundle/explain.ts";
import { needsRawSockets, render } from "../../src/bundle/render.ts";
import { admitUsers, dependingOnImages } from "../../src/policy/admission.ts";
import { LEVELS } from "../../src/policy/control.ts";
import { BUILT_IN_POLICY } from "../../src/policy/policy.ts";
import { admitRequest } from "../../src/sandbox/admit.ts";
import { renderOffline } from "../../src/sandbox/offline.ts";
import { isSameWish, newRecord, type SandboxRecord } from "../../src/sandbox/record.ts";
import { refusal, renderInput, requestOf } from "../bundle/rendering.ts";
import { admitIn, CONFIG, policyOf, violationsOf } from "./admitting.ts";

const SECURITY = "spec.containers[0].securityContext";

const ALL_DEFAULTS = policyOf(`defaults:
  runtimeClassName: crun
  runAsUser: 1000
  runAsGroup: 1001
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
`);

describe("defaults", () => {
  test("a spec that says nothing gets each, and where it was said", () => {
    const { request, defaulted, runtimeClass } = admitIn(
      { containers: [{}, { securityContext: { allowPrivilegeEscalation: true } }] },
      ALL_DEFAULTS,
    );
    expect(runtimeClass.name).toBe("crun");
    expect(request.spec).toMatchObject({
      runtimeClassName: "crun",
      securityContext: { runAsUser: 1000, runAsGroup: 1001, runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
      containers: [
        { securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } } },
        { securityContext: { allowPrivilegeEscalation: true, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } } },
      ],
    });
    expect(Object.fromEntries(defaulted)).toEqual({
      "spec.runtimeClassName": "policy.yaml:2 defaults.runtimeClassName",
      "spec.securityContext.runAsUser": "policy.yaml:3 defaults.runAsUser",
      "spec.securityContext.runAsGroup": "policy.yaml:4 defaults.runAsGroup",
      "spec.securityContext.runAsNonRoot": "policy.yaml:5 defaults.runAsNonRoot",
      "spec.securityContext.seccompProfile": "policy.yaml:6 defaults.seccompProfile",
      [`${SECURITY}.allowPrivilegeEscalation`]: "policy.yaml:7 defaults.allowPrivilegeEscalation",
      [`${SECURITY}.readOnlyRootFilesystem`]: "policy.yaml:8 defaults.readOnlyRootFilesystem",
      [`${SECURITY}.capabilities.drop`]: "policy.yaml:9 defaults.capabilities.drop",
      "spec.containers[1].securityContext.readOnlyRootFilesystem": "policy.yaml:8 defaults.readOnlyRootFilesystem",
      "spec.containers[1].securityContext.capabilities.drop": "policy.yaml:9 defaults.capabilities.drop",
    });
  });

  test("what a spec says itself is never changed, in the sandbox or in the container", () => {
    const own = {
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      seccompProfile: { type: "Localhost", localhostProfile: "a" },
      allowPrivilegeEscalation: true,
      readOnlyRootFilesystem: false,
      capabilities: { drop: ["KILL"] },
    };
    const asked = { runtimeClassName: "runc", containers: [{ securityContext: own }] };
    const { request, defaulted } = admitIn(asked, ALL_DEFAULTS);
    expect([...defaulted]).toEqual([]);
    expect(request).toEqual(requestOf(asked.containers, { runtimeClassName: "runc" }));
  });

  test("without defaults the request is the very same", () => {
    const { request, defaulted } = admitIn({}, BUILT_IN_POLICY);
    expect([...defaulted]).toEqual([]);
    expect(request).toEqual(requestOf([{}]));
  });

  test.each([
    [{ add: ["CHOWN"] }, { drop: ["ALL"] }, ["ALL"]],
    [{ add: ["CHOWN"] }, { drop: ["CHOWN", "KILL"] }, ["CAP_KILL"]],
    [{ add: ["KILL"] }, { drop: ["KILL"] }, []],
    [{ add: ["ALL"] }, { drop: ["ALL"] }, []],
    [{ drop: ["KILL"] }, { drop: ["ALL"] }, ["CAP_KILL"]],
  ])("capabilities %j with the default %j drop %j", (capabilities, byDefault, drop) => {
    const { request } = admitIn(
      { containers: [{ securityContext: { capabilities } }] },
      policyOf({ defaults: { capabilities: byDefault } }),
    );
    expect(request.spec.containers[0]?.securityContext.capabilities.drop).toEqual(drop);
  });

  test.each([
    ["allowPrivilegeEscalation", { capabilities: { add: ["SYS_ADMIN"] } }, `${SECURITY}.allowPrivilegeEscalation`],
    ["capabilities", { capabilities: { ambient: ["KILL"] } }, `${SECURITY}.capabilities.drop`],
    ["runAsNonRoot", { runAsUser: 0 }, "spec.securityContext.runAsNonRoot"],
  ])("%s that cannot hold together with what the spec says is refused, with its line", (name, securityContext, field) => {
    const value = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] }, runAsNonRoot: true }[name];
    const violations = violationsOf({ containers: [{ securityContext }] }, policyOf({ defaults: { [name]: value } }));
    expect(violations).toMatchObject([{ field, rule: expect.stringContaining("by default (policy.yaml:1 defaults.") }]);
  });

  test("are held against level and limits: a default makes a spec admissible, and never more than is allowed", () => {
    const hardened = {
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      seccompProfile: { type: "RuntimeDefault" },
      capabilities: { drop: ["ALL"] },
    };
    expect(violationsOf({}, policyOf({ level: "restricted" })).map(({ field }) => field)).toHaveLength(4);
    expect(violationsOf({}, policyOf({ level: "restricted", defaults: hardened }))).toEqual([]);
    expect(violationsOf({ securityContext: { runAsNonRoot: false } }, policyOf({ level: "restricted", defaults: hardened }))).toMatchObject(
      [{ field: "spec.securityContext.runAsNonRoot", rule: "restricted does not admit it (Running as Non-root): policy.yaml:1 level" }],
    );
  });

  test("explain names the line of policy.yaml for what comes of a default, and for nothing else", () => {
    const asked = renderInput([{}]);
    const { request, defaulted } = admitIn({}, ALL_DEFAULTS);
    const input = { ...asked, request, defaulted };
    const config = render(input).bundles[1]?.config;
    if (!config) throw new Error("no bundle");
    const byNode = explain(input, "c0", config).filter(({ source }) => source.includes("policy.yaml"));
    expect(
      byNode.map(({ pointer, kind, source }) => `${pointer} ${kind}: ${source}`).filter((line) => !line.startsWith("/linux/seccomp")),
    ).toEqual([
      "/process/user/uid node: policy.yaml:3 defaults.runAsUser",
      "/process/user/gid node: policy.yaml:4 defaults.runAsGroup",
      "/process/user/additionalGids/0 node: policy.yaml:4 defaults.runAsGroup",
      ...["bounding", "effective", "inheritable", "permitted"].map(
        (set) => `/process/capabilities/${set} node: policy.yaml:9 defaults.capabilities.drop`,
      ),
      "/process/noNewPrivileges node: policy.yaml:7 defaults.allowPrivilegeEscalation",
      "/root/readonly node: policy.yaml:8 defaults.readOnlyRootFilesystem",
    ]);
    const seccomp = byNode.filter(({ pointer }) => pointer.startsWith("/linux/seccomp"));
    expect(seccomp.length).toBeGreaterThan(0);
    expect(seccomp.every(({ source }) => source.endsWith("asked for by policy.yaml:6 defaults.seccompProfile"))).toBe(true);
  });

  test("a repeat of the same wish is known whatever the policy added, a wish for what it added is another one", () => {
    const admitted = admitIn({}, ALL_DEFAULTS);
    const record = newRecord(requestOf([{}]), "", new Date(0), admitted);
    const stored = JSON.parse(JSON.stringify(record)) as typeof record;
    expect(isSameWish(stored, requestOf([{}]))).toBe(true);
    expect(isSameWish(stored, admitted.request)).toBe(false);
    expect(stored.spec).toEqual(JSON.parse(JSON.stringify(admitted.request.spec)));
    expect(stored.defaulted).toEqual(Object.fromEntries(admitted.defaulted));
  });
});

describe("a node that gives the capabilities of container engines", () => {
  const config = { ...CONFIG, defaultCapabilities: "kubernetes" as const };
  const rendered = async (securityContext: object, runtimeClassName = "runc") => {
    const request = requestOf([{ securityContext }], { runtimeClassName });
    const imageConfigs = new Map([["", JSON.stringify({ config: { Cmd: ["sh"] } })]]);
    const { bundles, enforcement } = await renderOffline(request, { config, imageConfigs, node: undefined });
    return { provenance: bundles[1]?.provenance ?? [], enforcement };
  };

  test("says so for each that nobody asked for, in the origins and in the report", async () => {
    const { provenance, enforcement } = await rendered({ capabilities: { drop: ["NET_RAW"] } });
    const bounding = provenance.filter(({ pointer }) => pointer.startsWith("/process/capabilities/bounding/"));
    expect(Map.groupBy(bounding, ({ source }) => source)).toEqual(
      new Map([
        ["capabilities of every container", expect.objectContaining({ length: 3 }) as unknown],
        ["defaultCapabilities: kubernetes", expect.objectContaining({ length: 10 }) as unknown],
      ]),
    );
    expect(enforcement.find(({ property }) => property === "securityContext.capabilities")).toMatchObject({
      enforced: true,
      mechanism: "defaultCapabilities: kubernetes of this node",
      requested: expect.stringMatching(/^CAP_CHOWN .*CAP_SETFCAP$/) as unknown,
    });
    expect((await rendered({ capabilities: { drop: ["ALL"] } })).enforcement.map(({ property }) => property)).not.toContain(
      "securityContext.capabilities",
    );
  });

  test("what it gives may be named under any policy, as it is there anyway", () => {
    const request = (...add: string[]) => requestOf([{ securityContext: { capabilities: { add } } }], { runtimeClassName: "runc" });
    expect(() => admitRequest(request("NET_RAW", "CHOWN"), policyOf({ limits: { capabilities: [] } }), config)).not.toThrow();
    expect(() => admitRequest(request("NET_ADMIN"), BUILT_IN_POLICY, config)).toThrow(/NET_ADMIN/);
  });

  test("a sandbox keeps it, and --net-raw with it, whatever the node gives later", () => {
    const asked = requestOf([{}]);
    const admitted = admitRequest(asked, BUILT_IN_POLICY, config);
    const record = JSON.parse(JSON.stringify(newRecord(asked, "", new Date(0), admitted))) as SandboxRecord;
    expect(needsRawSockets(record.spec.containers)).toBe(true);
    expect(isSameWish(record, asked)).toBe(true);
  });
});

describe("what images bring along", () => {
  const policy = policyOf({ limits: { userIds: [{ min: 1, max: 999 }], groupIds: [{ min: 5, max: 99 }] } });
  const users = { passwd: "root:x:0:0::/:\nweb:x:33:34::/:\nbig:x:1000:50::/:\n", group: "web:x:34:\nextra:x:7:web\nmore:x:100:web\n" };
  const imageOf = (user: string) => new Map([["c0", { config: { user }, users }]]);
  const found = (spec: object, user: string): string[] => {
    const { detail, reason } = refusal(() => admitUsers(admitIn(spec, policy), imageOf(user)));
    expect(reason).toBe("PolicyRefused");
    return (detail.violations ?? []).map(({ field, value, rule }) => `${field} = ${value}: ${rule.split(" is more")[0]}`);
  };

  test.each([
    ["", [`${SECURITY}.runAsUser = 0: the image's user`, `${SECURITY}.runAsGroup = 0: the group of the user in the image`]],
    ["big", [`${SECURITY}.runAsUser = 1000: the image's user`]],
    ["33:4", [`${SECURITY}.runAsGroup = 4: the group of the user in the image`]],
    ["web", ["spec.containers[0].image = 100: a group of the user in the image's /etc/group"]],
  ])("user %j is held against the limits", (user, expected) => {
    expect(found({}, user)).toEqual(expected);
  });

  test("what is in range, or named by the spec, is admitted", () => {
    expect(() => admitUsers(admitIn({}, policy), imageOf("33:34"))).not.toThrow();
    const own = { securityContext: { runAsUser: 33, runAsGroup: 34, supplementalGroupsPolicy: "Strict" } };
    expect(() => admitUsers(admitIn(own, policy), imageOf("root"))).not.toThrow();
    expect(found({ securityContext: { runAsUser: 33, runAsGroup: 34 } }, "root")).toHaveLength(1);
  });

  test("images are only read where policy limits what they decide", () => {
    expect(dependingOnImages(admitIn({}, BUILT_IN_POLICY))).toEqual([]);
    expect(dependingOnImages(admitIn({}, policy))).toEqual([`${SECURITY}.runAsUser`, `${SECURITY}.runAsGroup`]);
    const own = { securityContext: { runAsUser: 33, runAsGroup: 34, supplementalGroupsPolicy: "Strict" } };
    expect(dependingOnImages(admitIn(own, policy))).toEqual([]);
  });
});

/** What the parser takes: nobody who has SYS_ADMIN can be kept from gaining privileges. */
function isConsistent({
  allowPrivilegeEscalation,
  capabilities,
}: {
  allowPrivilegeEscalation?: boolean;
  capabilities?: { add?: string[] };
}): boolean {
  return allowPrivilegeEscalation !== false || !JSON.stringify(capabilities?.add ?? []).includes("ALL");
}

test("admitted by restricted is admitted by baseline, and that by privileged, whatever a spec says", () => {
  const values = fc.record(
    {
      runAsUser: fc.constantFrom(0, 1000),
      runAsNonRoot: fc.boolean(),
      allowPrivilegeEscalation: fc.boolean(),
      seccompProfile: fc.constantFrom({ type: "RuntimeDefault" }, { type: "Unconfined" }),
      capabilities: fc.record(
        { add: fc.subarray(["CHOWN", "NET_BIND_SERVICE", "NET_ADMIN", "ALL"]), drop: fc.subarray(["ALL", "KILL"]) },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: [] },
  );
  const limits = { capabilities: ["ALL"], seccompProfiles: ["*"] };
  const policies = LEVELS.map((level) => policyOf({ level, limits }));
  let restricted = 0;
  fc.assert(
    fc.property(
      fc.array(values.filter(isConsistent), { minLength: 1, maxLength: 3 }),
      fc.constantFrom("runsc", "crun"),
      (contexts, runtimeClassName) => {
        const spec = { runtimeClassName, containers: contexts.map((securityContext) => ({ securityContext })) };
        const admitted = policies.map((policy) => violationsOf(spec, policy).length === 0);
        if (admitted[2] === true) restricted += 1;
        expect(admitted).toEqual(admitted.toSorted((a, b) => Number(b) - Number(a)));
      },
    ),
    { numRuns: 2000 },
  );
  expect(restricted).toBeGreaterThan(0);
});
