import { expect, test } from "vitest";
import { LIMIT_NAMES, LIMITS, type LimitName } from "../../src/policy/limits.ts";
import { BUILT_IN_POLICY } from "../../src/policy/policy.ts";
import { admitIn, CLASSES, policyOf, violationsOf } from "./admitting.ts";

interface Case {
  readonly limit: LimitName;
  /** As policy.yaml has it. */
  readonly allowed: unknown;
  /** Specs that keep it. */
  readonly good: readonly object[];
  /** A spec that does not, with the places and values that are told, and what is allowed instead. */
  readonly bad: readonly { spec: object; found: readonly string[]; instead: string }[];
  /** Other limits that the specs need. */
  readonly beside?: object;
}

const app = (securityContext: object, more: object = {}): object => ({ containers: [{ securityContext, ...more }] });
const adds = (...add: string[]): object => app({ capabilities: { add } });
const sysctls = (...names: string[]): object => ({ securityContext: { sysctls: names.map((name) => ({ name, value: "1" })) } });
const hostPath = (path: string, readOnly = false): object => ({
  volumes: [{ name: "host", hostPath: { path } }],
  ...app({}, { volumeMounts: [{ name: "host", mountPath: "/host", readOnly }] }),
});
const SECURITY = "spec.containers[0].securityContext";

const CASES: readonly Case[] = [
  {
    limit: "capabilities",
    allowed: ["net_admin", "CAP_SYS_TIME"],
    good: [
      adds(),
      adds("NET_ADMIN", "SYS_TIME"),
      adds("KILL", "AUDIT_WRITE", "NET_BIND_SERVICE"),
      app({ capabilities: { drop: ["ALL"] } }),
    ],
    bad: [
      {
        spec: adds("CHOWN", "NET_ADMIN", "ALL"),
        found: [`${SECURITY}.capabilities.add[0] "CHOWN"`, `${SECURITY}.capabilities.add[2] "ALL"`],
        instead: "NET_ADMIN or SYS_TIME",
      },
    ],
  },
  { limit: "capabilities", allowed: ["ALL"], good: [adds("ALL"), adds("SYS_ADMIN")], bad: [] },
  {
    limit: "capabilities",
    allowed: [],
    good: [adds("KILL")],
    bad: [{ spec: adds("CHOWN"), found: [`${SECURITY}.capabilities.add[0] "CHOWN"`], instead: "none" }],
  },
  {
    limit: "userIds",
    allowed: [
      { min: 1000, max: 1999 },
      { min: 65_534, max: 65_534 },
    ],
    good: [
      app({}),
      app({ runAsUser: 1000 }),
      app({ runAsUser: 1999 }),
      { securityContext: { runAsUser: 65_534 } },
      // Nobody runs as the sandbox's.
      { securityContext: { runAsUser: 0 }, ...app({ runAsUser: 1500 }) },
    ],
    bad: [
      { spec: app({ runAsUser: 0 }), found: [`${SECURITY}.runAsUser 0`], instead: "1000 to 1999 or 65534" },
      { spec: app({ runAsUser: 999 }), found: [`${SECURITY}.runAsUser 999`], instead: "1000 to 1999 or 65534" },
      { spec: app({ runAsUser: 2000 }), found: [`${SECURITY}.runAsUser 2000`], instead: "1000 to 1999 or 65534" },
      // Told once, whoever inherits it.
      {
        spec: { securityContext: { runAsUser: 0 }, containers: [{}, {}] },
        found: ["spec.securityContext.runAsUser 0"],
        instead: "1000 to 1999 or 65534",
      },
    ],
  },
  {
    limit: "groupIds",
    allowed: [{ min: 5, max: 7 }],
    good: [app({}), app({ runAsGroup: 5 }), { securityContext: { runAsGroup: 7, supplementalGroups: [5, 6, 7] } }],
    bad: [
      { spec: app({ runAsGroup: 0 }), found: [`${SECURITY}.runAsGroup 0`], instead: "5 to 7" },
      { spec: { securityContext: { runAsGroup: 8 } }, found: ["spec.securityContext.runAsGroup 8"], instead: "5 to 7" },
      {
        spec: { securityContext: { supplementalGroups: [5, 4, 8] } },
        found: ["spec.securityContext.supplementalGroups[1] 4", "spec.securityContext.supplementalGroups[2] 8"],
        instead: "5 to 7",
      },
    ],
  },
  {
    limit: "runtimeClasses",
    allowed: ["gvisor", "kata*"],
    good: [{}, { runtimeClassName: "runsc" }, { runtimeClassName: "gvisor" }],
    bad: [{ spec: { runtimeClassName: "crun" }, found: ['spec.runtimeClassName "crun"'], instead: "gvisor or kata*" }],
  },
  {
    limit: "registries",
    allowed: ["oci:/srv/images/*", "oci:/opt/one:tag"],
    good: [app({}, { image: "oci:/srv/images/a/b:c" }), app({}, { image: "oci:/opt/one:tag" })],
    bad: ["oci:/opt/one", "oci:/srv/imagesx", "oci:/opt/x:a/srv/images/x"].flatMap((image) => [
      {
        spec: app({}, { image }),
        found: [`spec.containers[0].image ${JSON.stringify(image)}`],
        instead: "oci:/srv/images/* or oci:/opt/one:tag",
      },
      {
        spec: { ...app({}, { image: "oci:/opt/one:tag" }), volumes: [{ name: "model", image: { reference: image } }] },
        found: [`spec.volumes[0].image.reference ${JSON.stringify(image)}`],
        instead: "oci:/srv/images/* or oci:/opt/one:tag",
      },
    ]),
  },
  {
    limit: "seccompProfiles",
    allowed: ["RuntimeDefault", "Localhost/team/*"],
    good: [
      app({}),
      app({ seccompProfile: { type: "RuntimeDefault" } }),
      { securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "team/a/b.json" } } },
    ],
    bad: [
      {
        spec: {
          securityContext: { seccompProfile: { type: "Unconfined" } },
          ...app({ seccompProfile: { type: "Localhost", localhostProfile: "a" } }),
        },
        found: ['spec.securityContext.seccompProfile "Unconfined"', `${SECURITY}.seccompProfile "Localhost/a"`],
        instead: "RuntimeDefault or Localhost/team/*",
      },
    ],
  },
  {
    limit: "allowPrivilegeEscalation",
    allowed: false,
    // A runtime with a kernel of its own lets nobody escalate who does not ask for it.
    good: [app({}), app({ allowPrivilegeEscalation: false }), { runtimeClassName: "crun", ...app({ allowPrivilegeEscalation: false }) }],
    bad: [
      { spec: app({ allowPrivilegeEscalation: true }), found: [`${SECURITY}.allowPrivilegeEscalation true`], instead: "false" },
      { spec: { runtimeClassName: "runc", ...app({}) }, found: [`${SECURITY}.allowPrivilegeEscalation nothing`], instead: "false" },
    ],
  },
  {
    limit: "appArmorProfiles",
    allowed: ["Localhost/team-*"],
    good: [app({}), app({ appArmorProfile: { type: "Localhost", localhostProfile: "team-a" } })],
    bad: [
      {
        spec: {
          securityContext: { appArmorProfile: { type: "RuntimeDefault" } },
          ...app({ appArmorProfile: { type: "Localhost", localhostProfile: "other" } }),
        },
        found: ['spec.securityContext.appArmorProfile "RuntimeDefault"', `${SECURITY}.appArmorProfile "Localhost/other"`],
        instead: "Localhost/team-*",
      },
    ],
  },
  { limit: "privileged", allowed: true, good: [app({ privileged: true })], bad: [] },
  {
    limit: "privileged",
    allowed: false,
    good: [app({}), app({ privileged: false })],
    bad: [{ spec: app({ privileged: true }), found: [`${SECURITY}.privileged true`], instead: "false" }],
  },
  {
    limit: "procMount",
    allowed: ["Default"],
    good: [app({}), app({ procMount: "Default" })],
    bad: [{ spec: app({ procMount: "Unmasked" }), found: [`${SECURITY}.procMount "Unmasked"`], instead: "Default" }],
  },
  {
    limit: "devices",
    allowed: ["/dev/fuse", "/dev/nvidia*"],
    good: [app({}, { devices: [{ path: "/dev/fuse" }, { path: "/dev/nvidia0" }] })],
    bad: [
      {
        spec: app({}, { devices: [{ path: "/dev/fuse" }, { path: "/dev/kvm" }] }),
        found: ['spec.containers[0].devices[1].path "/dev/kvm"'],
        instead: "/dev/fuse or /dev/nvidia*",
      },
    ],
  },
  {
    limit: "volumes",
    allowed: ["emptyDir"],
    good: [{ volumes: [{ name: "a", emptyDir: {} }] }],
    bad: [
      {
        spec: {
          volumes: [
            { name: "a", tmpfs: {} },
            { name: "b", hostPath: { path: "/srv" } },
          ],
        },
        // That a path is allowed is another limit.
        found: ['spec.volumes[0].tmpfs "tmpfs"', 'spec.volumes[1].hostPath "hostPath"'],
        instead: "emptyDir",
      },
    ],
    beside: { hostPaths: [{ path: "/srv" }] },
  },
  {
    limit: "hostPaths",
    allowed: [{ path: "/srv/data/" }, { path: "/srv/ro", readOnly: true }, { path: "/srv/ro/rw" }],
    good: [hostPath("/srv/data"), hostPath("/srv/data/a/b"), hostPath("/srv/ro/x", true), hostPath("/srv/ro/rw/x")],
    bad: [
      ...["/srv", "/srv/database", "/srv/dat"].map((path) => ({
        spec: hostPath(path, true),
        found: [`spec.volumes[0].hostPath.path "${path}"`],
        instead: "/srv/data, /srv/ro (read-only) or /srv/ro/rw",
      })),
      {
        spec: hostPath("/srv/ro/x"),
        found: ["spec.containers[0].volumeMounts[0].readOnly false"],
        instead: "/srv/data, /srv/ro (read-only) or /srv/ro/rw",
      },
    ],
    beside: { volumes: ["hostPath"] },
  },
  {
    limit: "sysctls",
    allowed: ["net.core.*"],
    good: [sysctls("kernel.shm_rmid_forced", "net.core.somaxconn")],
    bad: [
      {
        spec: sysctls("net.core.somaxconn", "net.ipv4.ip_forward"),
        found: ['spec.securityContext.sysctls[1].name "net.ipv4.ip_forward"'],
        instead: "net.core.* or the safe ones",
      },
    ],
  },
  {
    limit: "allowPrivilegeEscalation",
    allowed: true,
    good: [app({ allowPrivilegeEscalation: true }), { runtimeClassName: "runc", ...app({}) }],
    bad: [],
  },
];

test.each(CASES)("$limit: $allowed", ({ limit, allowed, good, bad, beside }) => {
  const policy = policyOf({ limits: { [limit]: allowed, ...beside } });
  for (const spec of good) expect(violationsOf(spec, policy), JSON.stringify(spec)).toEqual([]);
  for (const { spec, found, instead } of bad) {
    const violations = violationsOf(spec, policy);
    expect(violations.map(({ field, value }) => `${field} ${value}`)).toEqual(found);
    for (const violation of violations) {
      expect(violation.allowed).toBe(instead);
      expect(violation.rule).toBe(`is more than the node allows (policy.yaml:1 limits.${limit})`);
    }
  }
});

test("every limit has cases both ways", () => {
  for (const name of LIMIT_NAMES) {
    const cases = CASES.filter(({ limit }) => limit === name);
    expect(cases.some(({ good }) => good.length > 0) && cases.some(({ bad }) => bad.length > 0), name).toBe(true);
  }
  expect(LIMIT_NAMES).toEqual(Object.keys(LIMITS));
});

test("a class has its own word on what it names, the node's on the rest, and what is built in behind both", () => {
  const policy = policyOf({
    limits: { capabilities: ["SYS_TIME"], userIds: [{ min: 7, max: 7 }] },
    runtimeClasses: { crun: { capabilities: ["NET_ADMIN"] } },
  });
  const wants = { ...app({ runAsUser: 7, capabilities: { add: ["NET_ADMIN"] } }) };
  expect(violationsOf({ ...wants, runtimeClassName: "crun" }, policy)).toEqual([]);
  expect(violationsOf({ ...wants, runtimeClassName: "runc" }, policy)).toMatchObject([
    { rule: expect.stringContaining("policy.yaml:1 limits.capabilities"), allowed: "SYS_TIME" },
  ]);
  expect(violationsOf({ ...adds("SYS_TIME"), runtimeClassName: "crun" }, policy)).toMatchObject([
    { rule: expect.stringContaining("policy.yaml:1 runtimeClasses.crun.capabilities"), allowed: "NET_ADMIN" },
  ]);
  expect(violationsOf({ ...app({ runAsUser: 8 }), runtimeClassName: "crun" }, policy)).toHaveLength(1);
});

const BASELINE = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP".split(
  " ",
);

test.each(CLASSES)("without a policy file: $name", ({ name, isolation }) => {
  const inClass = (spec: object) => violationsOf({ ...spec, runtimeClassName: name }, BUILT_IN_POLICY);
  expect(inClass(adds(...BASELINE))).toEqual([]);
  const wide = inClass(adds("NET_ADMIN", "ALL", "NET_RAW")).map(({ value }) => value);
  expect(wide).toEqual(isolation === "own-kernel" ? [] : ['"NET_ADMIN"', '"ALL"', '"NET_RAW"']);
  expect(inClass(app({ runAsUser: 0, runAsGroup: 2_147_483_647, allowPrivilegeEscalation: true }))).toEqual([]);
  expect(inClass(app({ seccompProfile: { type: "RuntimeDefault" } }))).toEqual([]);
  const refused = inClass({
    securityContext: { sysctls: [{ name: "net.ipv4.ip_forward", value: "1" }], appArmorProfile: { type: "Unconfined" } },
    ...app({ privileged: true, procMount: "Unmasked" }, { devices: [{ path: "/dev/fuse" }] }),
  });
  expect(refused.map(({ field }) => field)).toEqual([
    "spec.securityContext.appArmorProfile",
    `${SECURITY}.privileged`,
    ...(isolation === "own-kernel" ? [] : [`${SECURITY}.procMount`]),
    "spec.securityContext.sysctls[0].name",
    "spec.containers[0].devices[0].path",
  ]);
  expect(inClass(hostPath("/srv", true)).map(({ field }) => field)).toEqual(["spec.volumes[0].hostPath", "spec.volumes[0].hostPath.path"]);
  expect(
    inClass({
      volumes: [
        { name: "a", emptyDir: {} },
        { name: "b", tmpfs: {} },
      ],
    }),
  ).toEqual([]);
  expect(inClass(app({ seccompProfile: { type: "Unconfined" } }))).toMatchObject([
    { field: `${SECURITY}.seccompProfile`, rule: "is more than the node allows (built-in limits.seccompProfiles)", value: '"Unconfined"' },
  ]);
});

test("a refusal is PolicyRefused, permission denied, with everything that is refused", () => {
  const policy = policyOf({ level: "restricted", limits: { userIds: [{ min: 1, max: 2 }] } });
  const spec = { runtimeClassName: "runc", ...app({ runAsUser: 0, capabilities: { add: ["NET_ADMIN"] } }) };
  expect(() => admitIn(spec, policy)).toThrow(
    expect.objectContaining({ reason: "PolicyRefused", kind: expect.objectContaining({ grpc: 7 }) as unknown }) as Error,
  );
});
