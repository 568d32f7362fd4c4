/** The security context: the sandbox's behind each container's, and what becomes of it. */

import { describe, expect, test } from "vitest";
import { KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import { type EnforcementEntry, type NodeGrants, refuseUnenforced } from "../../src/bundle/enforcement.ts";
import { needsSetuid, render } from "../../src/bundle/render.ts";
import { effectiveSecurity } from "../../src/bundle/security.ts";
import type { UserDatabase } from "../../src/image/image.ts";
import type { ResolvedRuntime } from "../../src/runtime/runtime.ts";
import { Runsc } from "../../src/runtime/runsc.ts";
import { ADAPTERS, type App, configOf, type Node, refusal, renderApp, renderApps, renderInput, requestOf } from "./rendering.ts";

const USERS: UserDatabase = {
  passwd: "root:x:0:0::/:\nweb:x:1000:100::/:\nzero:x:0:0::/:\n",
  group: "web:x:100:\nlate:x:900:web\nearly:x:20:web\nfirst:x:30:root\n",
};

/** process.user with these two contexts. */
function userOf(common: object, own: object = {}, user = "") {
  const app: App = { container: { securityContext: own }, image: { user }, users: USERS };
  return renderApp(app, { sandbox: { securityContext: common } }).process.user;
}

describe("the sandbox's context stands behind the container's", () => {
  test("field by field: what a container does not say is the sandbox's", () => {
    expect(userOf({ runAsUser: 5, runAsGroup: 6 })).toMatchObject({ uid: 5, gid: 6 });
    expect(userOf({ runAsUser: 5, runAsGroup: 6 }, { runAsUser: 7 })).toMatchObject({ uid: 7, gid: 6 });
    expect(userOf({ runAsUser: 5, runAsGroup: 6 }, { runAsGroup: 7 })).toMatchObject({ uid: 5, gid: 7 });
    expect(userOf({ runAsUser: 5 }, { runAsUser: 0 })).toMatchObject({ uid: 0 });
    expect(userOf({ runAsUser: 5, runAsGroup: 6 }, { runAsGroup: 0 })).toMatchObject({ uid: 5, gid: 0 });
  });

  test("it beats the image's user as the container's does", () => {
    expect(userOf({ runAsUser: 5 }, {}, "web")).toMatchObject({ uid: 5, gid: 0 });
    expect(userOf({ runAsGroup: 6 }, {}, "web")).toMatchObject({ uid: 1000, gid: 6 });
  });

  test("one container's word is not another's", () => {
    const result = renderApps([{ container: { securityContext: { runAsUser: 7 } } }, {}], {
      sandbox: { securityContext: { runAsUser: 5 } },
    });
    expect(["c0", "c1"].map((name) => configOf(result, name).process.user.uid)).toEqual([7, 5]);
  });

  test("runAsNonRoot: false of a container takes back the sandbox's true, and true stands beside its false", () => {
    const effective = (own: object, common: object): boolean | undefined => {
      const { spec } = requestOf([{ securityContext: own }], { securityContext: common });
      const [container] = spec.containers;
      return container && effectiveSecurity(spec, container).runAsNonRoot;
    };
    expect(effective({ runAsNonRoot: false }, { runAsNonRoot: true })).toBe(false);
    expect(effective({ runAsNonRoot: true }, { runAsNonRoot: false })).toBe(true);
    expect(effective({}, { runAsNonRoot: true })).toBe(true);
    expect(effective({}, {})).toBe(false);
  });

  test("an empty context, of either level, changes no byte", () => {
    for (const adapter of ADAPTERS) {
      const plain = renderApps([{}], { adapter });
      const empty = { adapter, sandbox: { securityContext: {}, hostname: "", requireEnforcement: true } };
      expect(renderApps([{ container: { securityContext: {} } }], empty)).toEqual(plain);
    }
  });
});

describe("groups", () => {
  const groups = { supplementalGroups: [50, 7, 50, 20] };

  test("Merge, which is the default, adds those of /etc/group; primary first, the others ascend, each once", () => {
    const merged = { uid: 1000, gid: 100, additionalGids: [100, 7, 20, 50, 900] };
    expect(userOf({ ...groups, runAsUser: 1000 })).toEqual(merged);
    expect(userOf({ ...groups, runAsUser: 1000, supplementalGroupsPolicy: "Merge" })).toEqual(merged);
    expect(userOf(groups, {}, "web")).toEqual(merged);
  });

  test("Strict has only those that were asked for", () => {
    const strict = { ...groups, supplementalGroupsPolicy: "Strict" };
    expect(userOf({ ...strict, runAsUser: 1000 })).toEqual({ uid: 1000, gid: 100, additionalGids: [100, 7, 20, 50] });
    expect(userOf(strict, {}, "web")).toEqual({ uid: 1000, gid: 100, additionalGids: [100, 7, 20, 50] });
    expect(userOf({ runAsUser: 1000, supplementalGroupsPolicy: "Strict" })).toEqual({ uid: 1000, gid: 100, additionalGids: [100] });
  });

  test("the primary group stands first and once, also when it is asked for as a further one", () => {
    expect(userOf({ supplementalGroups: [50, 7], runAsGroup: 50 })).toMatchObject({ gid: 50, additionalGids: [50, 7, 30] });
    expect(userOf({ supplementalGroups: [3], runAsGroup: 900, supplementalGroupsPolicy: "Strict" })).toMatchObject({
      additionalGids: [900, 3],
    });
  });

  test("an image USER with a group has those that were asked for and none of the file", () => {
    expect(userOf(groups, {}, "web:web")).toEqual({ uid: 1000, gid: 100, additionalGids: [100, 7, 20, 50] });
    expect(userOf(groups, {}, "5:6")).toEqual({ uid: 5, gid: 6, additionalGids: [6, 7, 20, 50] });
  });

  test("the list is left out when nobody sets user or group, and there when only further groups are asked for", () => {
    expect(userOf({})).toEqual({ uid: 0, gid: 0 });
    expect(userOf({ supplementalGroupsPolicy: "Strict" })).toEqual({ uid: 0, gid: 0 });
    expect(userOf({ runAsNonRoot: false })).toEqual({ uid: 0, gid: 0 });
    expect(userOf({ supplementalGroups: [9] })).toEqual({ uid: 0, gid: 0, additionalGids: [0, 9, 30] });
  });
});

describe("runAsNonRoot", () => {
  const OWN = "spec.containers[1].securityContext.runAsNonRoot";
  const COMMON = "spec.securityContext.runAsNonRoot";
  /** The second of two containers is the one in question. */
  const rendered = (own: object, common: object, user: string) =>
    renderApps(
      [
        { container: { securityContext: { runAsUser: 1, runAsNonRoot: false } } },
        { container: { securityContext: own }, image: { user }, users: USERS },
      ],
      {
        sandbox: { securityContext: common },
      },
    );

  const root = "forbids it: the container would run as user 0";
  const named = (user: string) => `forbids it: the image gives its user by name ("${user}"), which cannot be verified`;
  test.each([
    ["0 by default", { runAsNonRoot: true }, {}, "", OWN, root],
    ["0 that the container asks for", { runAsNonRoot: true, runAsUser: 0 }, { runAsUser: 7 }, "", OWN, root],
    ["0 that the sandbox asks for", { runAsNonRoot: true }, { runAsUser: 0 }, "5", OWN, root],
    ["0 of the image", { runAsNonRoot: true }, {}, "0:7", OWN, root],
    ["a group alone", { runAsNonRoot: true, runAsGroup: 7 }, {}, ":7", OWN, root],
    ["the sandbox's word", {}, { runAsNonRoot: true }, "", COMMON, root],
    ["the container's beside the sandbox's", { runAsNonRoot: true }, { runAsNonRoot: true }, "", OWN, root],
    ["a user by name", { runAsNonRoot: true }, {}, "web", OWN, named("web")],
    ["a user by name with a number as group", {}, { runAsNonRoot: true }, "web:7", COMMON, named("web:7")],
    ["another name of 0", { runAsNonRoot: true }, {}, "zero", OWN, named("zero")],
  ])("%s is refused at the field that says it", (_title, own, common, user, field, rule) => {
    const error = refusal(() => rendered(own, common, user));
    expect(error.reason).toBe("InvalidRequest");
    expect(error.detail.violations).toEqual([{ field, rule, value: "true", allowed: "runAsUser with a number above 0" }]);
  });

  test.each([
    ["a number of the request", { runAsNonRoot: true, runAsUser: 5 }, {}, "", 5],
    ["a number of the sandbox", { runAsNonRoot: true }, { runAsUser: 5 }, "", 5],
    ["a number that stands in for a name", { runAsNonRoot: true, runAsUser: 5 }, {}, "web", 5],
    ["a number of the image", { runAsNonRoot: true }, {}, "5", 5],
    ["a number of the image with a group by name", { runAsNonRoot: true }, {}, "5:web", 5],
    ["false", { runAsNonRoot: false }, { runAsNonRoot: true }, "", 0],
    ["false, of a name", { runAsNonRoot: false }, {}, "web", 1000],
  ])("%s passes", (_title, own, common, user, uid) => {
    expect(configOf(rendered(own, common, user), "c1").process.user.uid).toBe(uid);
  });
});

describe("process and root", () => {
  const processOf = (securityContext: object) => renderApp({ container: { securityContext } }).process;

  test("noNewPrivileges is written for false and for nothing else", () => {
    expect(processOf({ allowPrivilegeEscalation: false }).noNewPrivileges).toBe(true);
    expect(processOf({ allowPrivilegeEscalation: true })).not.toHaveProperty("noNewPrivileges");
    expect(processOf({})).not.toHaveProperty("noNewPrivileges");
  });

  test("umask is written when it is asked for, 0 too", () => {
    expect(processOf({ umask: 0 }).user).toEqual({ uid: 0, gid: 0, umask: 0 });
    expect(processOf({ umask: 0o777 }).user.umask).toBe(511);
    expect(processOf({}).user).not.toHaveProperty("umask");
  });

  test("root.readonly is the container's own", () => {
    const apps = [{ readOnlyRootFilesystem: true }, { readOnlyRootFilesystem: false }, {}].map((securityContext) => ({
      container: { securityContext },
    }));
    expect(renderApps(apps).bundles.map(({ config }) => config.root.readonly)).toEqual([true, true, false, false]);
  });

  test("the host name is pause's alone: spec.hostname, else the sandbox's name", () => {
    const hostnames = (node: Node) => renderApps([{}, {}], node).bundles.map(({ config }) => config.hostname);
    expect(hostnames({ sandbox: { hostname: "ship" } })).toEqual(["ship", undefined, undefined]);
    expect(hostnames({ sandbox: { hostname: "" } })).toEqual(["sandbox", undefined, undefined]);
    expect(hostnames({})).toEqual(["sandbox", undefined, undefined]);
  });

  test.each(ADAPTERS)("%s: nothing of all that can be asked for reaches pause", (adapter) => {
    const seccompProfile = { type: "RuntimeDefault" };
    const appArmorProfile = { type: "Localhost", localhostProfile: "confined" };
    const securityContext = {
      ...{
        runAsUser: 5,
        runAsGroup: 5,
        runAsNonRoot: true,
        readOnlyRootFilesystem: true,
        umask: 1,
        privileged: true,
        procMount: "Default",
      },
      ...{ capabilities: { drop: ["KILL"], ambient: "auto" }, allowPrivilegeEscalation: true, seccompProfile, appArmorProfile },
    };
    const rlimits = [{ type: "NOFILE", soft: 1, hard: 2 }];
    const volumes = [
      { name: "disk", emptyDir: {} },
      { name: "own", tmpfs: { mode: 0 } },
    ];
    const volumeMounts = [
      { name: "disk", mountPath: "/i" },
      { name: "own", mountPath: "/pause", readOnly: true },
    ];
    const process = { command: ["a"], args: ["b"], env: [{ name: "PATH", value: "/c" }], workingDir: "/d", rlimits };
    const life = { restartPolicy: "OnFailure", activeDeadlineSeconds: 9, ttlSecondsAfterFinished: 9, terminationGracePeriodSeconds: 9 };
    const common = { runAsUser: 6, runAsGroup: 6, runAsNonRoot: true, supplementalGroups: [7], supplementalGroupsPolicy: "Strict" };
    // runsc refuses both of these by field.
    const shared = adapter !== "runsc";
    const sysctls = shared ? [{ name: "net.core.somaxconn", value: "9" }] : [];
    const devices = shared ? [{ path: "/dev/fuse" }] : [];
    const sandbox = {
      securityContext: { ...common, seccompProfile, appArmorProfile, sysctls },
      requireEnforcement: true,
      volumes,
      ...life,
    };
    const fuse = { type: "c", major: 10, minor: 229, fileMode: 0o600, uid: 0, gid: 0 } as const;
    const node: Node = { adapter, sandbox, capabilityMode: "no-inheritable", devices: new Map([["/dev/fuse", fuse]]) };
    const image = { user: "8", env: ["E=1"], workingDir: "/f", entrypoint: ["g"] };
    const asked = renderInput([{ container: { ...process, securityContext, devices, volumeMounts }, image }, {}], node);
    const metadata = { ...asked.request.metadata, labels: { a: "b" }, annotations: { c: "d" } };
    const [pause] = render({ ...asked, request: { ...asked.request, metadata } }).bundles;
    expect(pause).toEqual(renderApps([{}], { adapter }).bundles[0]);
  });
});

const OLD_RUNSC: Node = { adapter: "runsc", ambient: false, traits: { umask: false, setuid: false } };

describe("the enforcement report", () => {
  function entries(own: object, node: Node = {}): string[] {
    const { enforcement } = renderApps([{ container: { securityContext: own } }], node);
    return enforcement.map(({ container, property, requested, enforced, mechanism, note }) => {
      expect(container).toBe("c0");
      const name = property.replace(/^securityContext\./, "");
      return `${name} ${requested}: ${enforced ? "" : "not "}by ${mechanism}${note === "" ? "" : `; ${note}`}`;
    });
  }
  const HOST = "the host's kernel";
  const SENTRY = "the sandbox's own kernel";
  const NEW: Node = { adapter: "runsc" };
  const shared = ADAPTERS.filter((adapter) => adapter !== "runsc").map((adapter): Node => ({ adapter }));

  test("user and groups, the sandbox's too", () => {
    const sandbox = { securityContext: { runAsGroup: 6, supplementalGroups: [9, 7], supplementalGroupsPolicy: "Strict" } };
    const left = "supplementalGroupsPolicy Strict: by groups of the image's /etc/group are left out";
    for (const [node, by] of [[NEW, SENTRY], [OLD_RUNSC, SENTRY], ...shared.map((node) => [node, HOST] as const)] as const) {
      expect(entries({ runAsUser: 5, runAsNonRoot: true }, { ...node, sandbox })).toEqual([
        `runAsUser 5: by ${by}`,
        `runAsGroup 6: by ${by}`,
        "runAsNonRoot true: by checked before anything was made",
        `supplementalGroups 9 7: by ${by}`,
        left,
      ]);
    }
    expect(entries({}, { sandbox: { securityContext: { supplementalGroupsPolicy: "Merge", runAsNonRoot: false } } })).toEqual([]);
  });

  test("allowPrivilegeEscalation: false", () => {
    for (const node of [NEW, ...shared]) {
      expect(entries({ allowPrivilegeEscalation: false }, node)).toEqual(["allowPrivilegeEscalation false: by no_new_privs"]);
    }
    const never = "allowPrivilegeEscalation false: by this runsc never lets a program gain privileges";
    expect(entries({ allowPrivilegeEscalation: false }, OLD_RUNSC)).toEqual([never]);
  });

  test("allowPrivilegeEscalation: true", () => {
    for (const node of shared) {
      expect(entries({ allowPrivilegeEscalation: true }, node)).toEqual([`allowPrivilegeEscalation true: by ${HOST}`]);
    }
    const flag = "allowPrivilegeEscalation true: by runsc --allow-suid, a flag of the whole sandbox";
    expect(entries({ allowPrivilegeEscalation: true }, NEW)).toEqual([flag]);
    expect(entries({ allowPrivilegeEscalation: true }, OLD_RUNSC)).toEqual([
      "allowPrivilegeEscalation true: not by this runsc never lets a setuid program gain privileges; use a runsc of 2026 or newer, or a runtime class of runc or crun",
    ]);
  });

  test("readOnlyRootFilesystem, with what runsc does to an empty /tmp", () => {
    const how = "by mount of the root filesystem";
    for (const value of [true, false]) {
      for (const node of shared)
        expect(entries({ readOnlyRootFilesystem: value }, node)).toEqual([`readOnlyRootFilesystem ${value}: ${how}`]);
      expect(entries({ readOnlyRootFilesystem: value }, NEW)).toEqual([
        `readOnlyRootFilesystem ${value}: ${how}; runsc mounts a writable tmpfs of its own on a /tmp that is empty in the image`,
      ]);
    }
  });

  test("umask, in four octal digits", () => {
    for (const node of shared) expect(entries({ umask: 0o27 }, node)).toEqual([`umask 0027: by ${HOST}`]);
    expect(entries({ umask: 0 }, NEW)).toEqual([`umask 0000: by ${SENTRY}`]);
    expect(entries({ umask: 0o777 }, OLD_RUNSC)).toEqual([
      "umask 0777: not by runsc before 2026 ignores it (0022); set it in the program, or use a runsc of 2026 or newer",
    ]);
  });

  test("what is not enforced is warned about; the rest is not", () => {
    const own = { umask: 0o27, allowPrivilegeEscalation: true, readOnlyRootFilesystem: true, runAsUser: 5 };
    const { warnings } = renderApps([{ container: { securityContext: own } }], OLD_RUNSC);
    expect(warnings.map((warning) => warning.split(":")[1])).toEqual([
      " securityContext.allowPrivilegeEscalation true is not effective",
      " securityContext.umask 0027 is not effective",
    ]);
    expect(renderApps([{ container: { securityContext: own } }], NEW).warnings).toEqual([]);
  });
});

describe("requireEnforcement", () => {
  test("each entry that is not enforced is a violation at its field, with the way out", () => {
    const apps: App[] = [
      { container: { securityContext: { umask: 0 } } },
      { container: { securityContext: { runAsUser: 5, capabilities: { add: ["CHOWN"] } } } },
    ];
    const { enforcement } = renderApps(apps, { adapter: "runsc", traits: { umask: false } });
    const error = refusal(() => refuseUnenforced([{ name: "c0" }, { name: "c1" }], enforcement));
    expect(error.reason).toBe("NotEnforceable");
    expect(error.detail.violations).toEqual([
      {
        field: "spec.containers[0].securityContext.umask",
        rule: "would not be enforced: runsc before 2026 ignores it (0022)",
        value: "0000",
        allowed: "set it in the program, or use a runsc of 2026 or newer",
      },
      {
        field: "spec.containers[1].securityContext.capabilities.add",
        rule: "would not be enforced: execve clears permitted and effective for uid 5 unless a capability is ambient",
        value: "CAP_CHOWN",
        allowed: expect.stringMatching(/^ask for capabilities.ambient: auto/) as string,
      },
    ]);
    expect(error.message).toMatch(
      /^requireEnforcement is set, and spec\.containers\[0\]\.securityContext\.umask 0000 would not be .*; spec/,
    );
  });

  const withContext = (securityContext: object) => ({ securityContext });
  const localhost = { type: "Localhost", localhostProfile: "a" };
  const without = (appArmor: boolean, ...names: string[]): NodeGrants => ({
    capabilities: new Set(KERNEL_CAPABILITIES.filter((name) => !names.includes(name))),
    rlimits: new Map([["RLIMIT_NOFILE", 9n]]),
    appArmor,
  });
  const DISK = { name: "disk", emptyDir: {} };
  const DISK_MOUNT = { name: "disk", mountPath: "/a", readOnly: true };
  const nofile = { rlimits: [{ type: "NOFILE", soft: 10, hard: 10 }] };
  const CONTEXT = "spec.containers[1].securityContext";
  test.each<[what: string, container: object, node: Node, field: string, mechanism: RegExp]>([
    [
      "adds that execve clears",
      withContext({ runAsUser: 1, capabilities: { add: ["CHOWN"] } }),
      {},
      `${CONTEXT}.capabilities.add`,
      /execve clears/,
    ],
    ["privileged that execve clears", withContext({ runAsUser: 1, privileged: true }), {}, `${CONTEXT}.privileged`, /execve clears/],
    [
      ...(["ambient of an old runsc", withContext({ runAsUser: 1, capabilities: { ambient: ["KILL"] } })] as const),
      ...([{ adapter: "runsc", ambient: false }, `${CONTEXT}.capabilities.ambient`, /ignores ambient/] as const),
    ],
    [
      ...(["what the agent lacks", withContext({ capabilities: { add: ["SYS_TIME"] } })] as const),
      ...([{ node: without(true, "CAP_SYS_TIME") }, `${CONTEXT}.capabilities.add`, /bounding set/] as const),
    ],
    ["a default that the agent lacks", {}, { node: without(true, "CAP_KILL") }, `${CONTEXT}.capabilities`, /bounding set/],
    ["umask", withContext({ umask: 7 }), OLD_RUNSC, `${CONTEXT}.umask`, /ignores it/],
    ["setuid programs", withContext({ allowPrivilegeEscalation: true }), OLD_RUNSC, `${CONTEXT}.allowPrivilegeEscalation`, /setuid/],
    ["all of /proc", withContext({ procMount: "Unmasked" }), { adapter: "runsc" }, `${CONTEXT}.procMount`, /masks nothing/],
    ["AppArmor of runsc", withContext({ appArmorProfile: localhost }), { adapter: "runsc" }, `${CONTEXT}.appArmorProfile`, /no AppArmor/],
    [
      "AppArmor that is not there",
      withContext({ appArmorProfile: localhost }),
      { node: without(false) },
      `${CONTEXT}.appArmorProfile`,
      /no AppArmor/,
    ],
    [
      "berth's AppArmor profile",
      withContext({ appArmorProfile: { type: "RuntimeDefault" } }),
      {},
      `${CONTEXT}.appArmorProfile`,
      /no AppArmor/,
    ],
    ["a limit that leaks", nofile, { adapter: "runsc" }, "spec.containers[1].rlimits[0]", /one set of limits/],
    ["a limit above the agent's", nofile, { node: without(true) }, "spec.containers[1].rlimits[0]", /hard limit/],
    [
      ...(["a size on disk", {}] as const),
      ...([{ sandbox: { volumes: [{ ...DISK, emptyDir: { sizeLimit: 9 } }] } }, "spec.volumes[0].emptyDir.sizeLimit", /./] as const),
    ],
    [
      ...(["read-only below a mount", { volumeMounts: [{ ...DISK_MOUNT, recursiveReadOnly: "IfPossible" }] }] as const),
      ...([{ traits: { recursiveReadOnly: false }, sandbox: { volumes: [DISK] } }] as const),
      ...(["spec.containers[1].volumeMounts[0].recursiveReadOnly", /./] as const),
    ],
  ])("%s: refused where it would only be reported", (_what, container, node, field, mechanism) => {
    const apps: App[] = [{ container: { securityContext: { capabilities: { drop: ["ALL"] } } } }, { container }];
    const { enforcement, warnings } = renderApps(apps, node);
    expect(warnings).toHaveLength(1);
    const { reason, detail } = refusal(() => refuseUnenforced([{ name: "c0" }, { name: "c1" }], enforcement));
    expect([reason, detail.violations]).toEqual([
      "NotEnforceable",
      [
        {
          field,
          rule: expect.stringMatching(mechanism),
          value: expect.any(String),
          allowed: expect.stringMatching(/./),
        },
      ],
    ]);
  });

  test("nothing that is enforced is refused, nor is nothing", () => {
    const enforced: EnforcementEntry = { container: "a", property: "x", requested: "1", enforced: true, mechanism: "m", note: "" };
    expect(() => refuseUnenforced([{ name: "a" }], [])).not.toThrow();
    expect(() => refuseUnenforced([{ name: "a" }], [enforced])).not.toThrow();
    expect(() => refuseUnenforced([{ name: "a" }], [enforced, { ...enforced, enforced: false }])).toThrow(/requireEnforcement is set/);
  });
});

const RUNSC: ResolvedRuntime = {
  ...{ className: "runsc", adapter: "runsc", binary: "/runsc", digest: "", version: "", platform: "systrap", flags: [] },
  traits: {
    ambient: true,
    umask: true,
    setuid: true,
    execSeccomp: true,
    recursiveReadOnly: true,
    ignoreCgroups: false,
    hideUnifiedCgroup: false,
  },
};

describe("runsc's --allow-suid, a flag of the whole sandbox", () => {
  test("is needed when any container says true, not for false or nothing", () => {
    const needed = (...values: (boolean | undefined)[]) =>
      needsSetuid(requestOf(values.map((allowPrivilegeEscalation) => ({ securityContext: { allowPrivilegeEscalation } }))).spec.containers);
    expect([needed(undefined), needed(false), needed(true), needed(false, true), needed(undefined, false)]).toEqual([
      ...[false, false, true, true, false],
    ]);
  });

  test.each([
    [true, true, true],
    [true, false, false],
    [false, true, false],
    [false, false, false],
  ])("asked for: %s, known to the binary: %s, given: %s", (asked, known, given) => {
    const runtime = { ...RUNSC, traits: { ...RUNSC.traits, setuid: known } };
    const runsc = new Runsc(runtime, { id: "1", rawSockets: false, setuid: asked, seccomp: false });
    for (const role of ["pause", "app"] as const) {
      const command = runsc.createCommand({ id: "2", role, bundle: "/b", dir: "/d", root: "/r" });
      expect(command.includes("--allow-suid")).toBe(given);
    }
  });
});

test.each(["pause", "app"] as const)("runsc is told of raw sockets and filters for the whole sandbox, in the command of %s", (role) => {
  const flags = (sandbox: { rawSockets: boolean; seccomp: boolean }) =>
    new Runsc(RUNSC, { id: "1", setuid: false, ...sandbox })
      .createCommand({ id: "2", role, bundle: "/b", dir: "/d", root: "/r" })
      .filter((flag) => ["--net-raw", "--oci-seccomp"].includes(flag));
  expect(flags({ rawSockets: false, seccomp: false })).toEqual([]);
  expect(flags({ rawSockets: true, seccomp: false })).toEqual(["--net-raw"]);
  expect(flags({ rawSockets: false, seccomp: true })).toEqual(["--oci-seccomp"]);
});
