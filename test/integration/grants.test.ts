/** What an app can really do, read from its own processes inside the running sandbox and never from config.json. */

import { copyFileSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { AmbientMode, type Enforcement } from "../../src/gen/berth/v1/sandbox_pb.js";
import { CLASSES, type ClassUnderTest, TestNode } from "./node.ts";
import { ALL_CAPABILITIES, defaultAnd, hasCapability, mask, NO_CAPABILITIES } from "./support/capabilities.ts";
import { endNode, type SpecInit, TestSandbox } from "./support/sandbox.ts";
import { parseTold, TELL_STATUS, type ToldStatus } from "./support/status.ts";

type SecurityContext = NonNullable<NonNullable<SpecInit["containers"]>[number]["securityContext"]>;

/** What both processes of an app must have. */
interface Expected {
  /** Inheritable and bounding. */
  readonly granted: string;
  /** Permitted and effective, after exec; the same as granted when absent. */
  readonly effective?: string;
  readonly ambient?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly groups?: readonly number[];
}

interface Case {
  readonly name: string;
  readonly what: string;
  readonly securityContext: SecurityContext;
  /** USER of the image. */
  readonly imageUser?: string;
  readonly expected: (runtime: ClassUnderTest) => Expected;
}

const AS_1000 = { runAsUser: 1000n, runAsGroup: 1000n } as const;
/** The image's /etc/group lists its user in staff (50). */
const user1000 = { uid: 1000, gid: 1000, groups: [50, 1000] };
/** runsc before June 2026 knows no ambient capabilities. */
const knowsAmbient = ({ release }: ClassUnderTest): boolean => release !== 2024;

const CASES: readonly Case[] = [
  { name: "nothing", what: "nothing asked for", securityContext: {}, expected: () => ({ granted: defaultAnd() }) },
  {
    name: "adds-root",
    what: "adds as root, in three spellings",
    securityContext: { capabilities: { add: ["NET_ADMIN", "CAP_SETUID", "setgid", "SYS_ADMIN"] } },
    expected: () => ({ granted: defaultAnd("NET_ADMIN", "SETUID", "SETGID", "SYS_ADMIN") }),
  },
  {
    name: "adds-1000",
    what: "adds as uid 1000 without ambient: cleared by execve",
    securityContext: { ...AS_1000, capabilities: { add: ["NET_ADMIN", "SETUID", "SETGID"] } },
    expected: () => ({ granted: defaultAnd("NET_ADMIN", "SETUID", "SETGID"), effective: NO_CAPABILITIES, ...user1000 }),
  },
  {
    name: "ambient-auto",
    what: "adds as uid 1000 with ambient auto",
    securityContext: { ...AS_1000, capabilities: { add: ["NET_ADMIN", "CHOWN"], ambientMode: AmbientMode.AUTO } },
    expected: (runtime) => ({
      granted: defaultAnd("NET_ADMIN", "CHOWN"),
      effective: knowsAmbient(runtime) ? mask("NET_ADMIN", "CHOWN") : NO_CAPABILITIES,
      ambient: mask("NET_ADMIN", "CHOWN"),
      ...user1000,
    }),
  },
  {
    name: "ambient-list",
    what: "adds as uid 1000 of which a list is ambient",
    securityContext: {
      ...AS_1000,
      capabilities: { add: ["NET_ADMIN", "CHOWN"], ambientMode: AmbientMode.LIST, ambient: ["CHOWN", "KILL"] },
    },
    expected: (runtime) => ({
      granted: defaultAnd("NET_ADMIN", "CHOWN"),
      effective: knowsAmbient(runtime) ? mask("KILL", "CHOWN") : NO_CAPABILITIES,
      ambient: mask("KILL", "CHOWN"),
      ...user1000,
    }),
  },
  {
    name: "ambient-root",
    what: "ambient auto as root: nothing is ambient, everything is there",
    securityContext: { capabilities: { add: ["NET_ADMIN"], ambientMode: AmbientMode.AUTO } },
    expected: () => ({ granted: defaultAnd("NET_ADMIN") }),
  },
  {
    name: "drop-all",
    what: "drop ALL",
    securityContext: { capabilities: { drop: ["ALL"] } },
    expected: () => ({ granted: NO_CAPABILITIES }),
  },
  {
    name: "drop-all-add-one",
    what: "drop ALL and one add",
    securityContext: { capabilities: { drop: ["ALL"], add: ["CHOWN"] } },
    expected: () => ({ granted: mask("CHOWN") }),
  },
  {
    name: "drop-one",
    what: "a drop beats an add of the same name and takes from the default set",
    securityContext: { capabilities: { drop: ["KILL", "SETPCAP"], add: ["SETPCAP", "CHOWN"] } },
    expected: () => ({ granted: mask("AUDIT_WRITE", "NET_BIND_SERVICE", "CHOWN") }),
  },
  {
    // Its neighbours, of which none asks for it, show that runsc's flag for the whole sandbox gives it to nobody else.
    name: "net-raw",
    what: "NET_RAW as root",
    securityContext: { capabilities: { add: ["NET_RAW"] } },
    expected: () => ({ granted: defaultAnd("NET_RAW") }),
  },
  {
    name: "uid-alone",
    what: "a uid alone takes gid and groups from the image",
    securityContext: { runAsUser: 1000n },
    expected: () => ({ granted: defaultAnd(), effective: NO_CAPABILITIES, ...user1000 }),
  },
  {
    name: "image-user",
    what: "the image's USER by name, with its groups",
    securityContext: {},
    imageUser: "app",
    expected: () => ({ granted: defaultAnd(), effective: NO_CAPABILITIES, ...user1000 }),
  },
  {
    name: "image-user-group",
    what: "the image's USER with a group, both by name",
    securityContext: {},
    imageUser: "nobody:staff",
    expected: () => ({ granted: defaultAnd(), effective: NO_CAPABILITIES, uid: 65534, gid: 50, groups: [50] }),
  },
  {
    name: "over-image-user",
    what: "the request's user 0 over the image's USER",
    securityContext: { runAsUser: 0n },
    imageUser: "app",
    expected: () => ({ granted: defaultAnd(), groups: [0] }),
  },
];

const GROUPS = "root:x:0:\nstaff:x:50:app\napp:x:1000:\nnogroup:x:65534:\n";

let node: TestNode;
const images = new Map<string, string>();

beforeAll(async () => {
  node = await TestNode.start();
  for (const user of new Set(CASES.map(({ imageUser = "" }) => imageUser))) {
    const dir = join(node.dir, `image-${images.size}`);
    images.set(user, busyboxImage(dir, { config: { User: user, Cmd: TELL_STATUS }, extraFiles: { "etc/group": GROUPS } }));
  }
  // The reader for pause, which has no program but its own. It must be static and there before the create.
  copyFileSync("/bin/busybox", join(node.state, "pause/rootfs/busybox"));
});

afterAll(async () => await endNode(node));

function containers(cases: readonly Case[]): NonNullable<SpecInit["containers"]> {
  return cases.map(({ name, securityContext, imageUser = "" }) => ({ name, image: images.get(imageUser) ?? "", securityContext }));
}

describe.each(CLASSES)("under $name", (runtime) => {
  let sandbox: TestSandbox;
  const told = new Map<string, ToldStatus>();

  beforeAll(async () => {
    sandbox = await TestSandbox.create(node, "grants", { runtimeClassName: runtime.name, containers: containers(CASES) });
    await sandbox.completed();
    for (const { name } of CASES) told.set(name, parseTold(await sandbox.output(name)));
  });

  afterAll(async () => await sandbox.delete());

  const of = (name: string): ToldStatus => {
    const status = told.get(name);
    if (!status) throw new Error(`nothing was read in ${name}`);
    return status;
  };

  test("what was read are the apps themselves: PID 1 of a pid namespace of each one's own, and a child that it exec'ed", () => {
    const ownKernel = runtime.adapter === "runsc";
    for (const { name } of CASES) {
      const { init, child, kernel, pidNamespace } = of(name);
      expect(init, name).toMatchObject({ name: "sh", pid: 1, ppid: 0, namespacePids: ownKernel ? [] : [1] });
      expect(child, name).toMatchObject({ name: "cat", ppid: 1 });
      expect(child.pid, name).toBeGreaterThan(1);
      expect(pidNamespace).toMatch(/^pid:\[\d+\]$/);
      // Which kernel answered: gVisor's own, or the host's.
      expect(kernel === readFileSync("/proc/version", "utf8").trim(), kernel).toBe(!ownKernel);
    }
    const namespaces = CASES.map(({ name }) => of(name).pidNamespace);
    expect(new Set(namespaces).size).toBe(CASES.length);
    expect(namespaces).not.toContain(readlinkSync("/proc/self/ns/pid"));
  });

  test.each(CASES)("$name: $what", ({ name, expected }) => {
    const { granted, effective = granted, ambient = NO_CAPABILITIES, uid = 0, gid = 0, groups = [] } = expected(runtime);
    for (const [who, status] of Object.entries({ init: of(name).init, child: of(name).child })) {
      expect(status.capabilities, who).toEqual({
        inheritable: granted,
        permitted: effective,
        effective,
        bounding: granted,
        // Where ambient capabilities are not known, none are printed, and permitted above shows that none are there.
        ambient: knowsAmbient(runtime) ? ambient : undefined,
      });
      expect(status.uids, who).toEqual([uid, uid, uid, uid]);
      expect(status.gids, who).toEqual([gid, gid, gid, gid]);
      expect(status.groups, who).toEqual(groups);
    }
  });

  test.each(CASES)("$name: the enforcement report says what was read", ({ name, securityContext }) => {
    const report = sandbox.status.enforcement.filter(({ container }) => container === name);
    for (const status of [of(name).init, of(name).child]) {
      for (const entry of report) expect(isEffective(entry, status), JSON.stringify(entry)).toBe(entry.enforced);
    }
    const asked = [
      ...(securityContext.capabilities?.add ? ["securityContext.capabilities.add"] : []),
      ...(securityContext.capabilities?.drop ? ["securityContext.capabilities.drop"] : []),
      ...(securityContext.runAsUser === undefined ? [] : ["securityContext.runAsUser"]),
      ...(securityContext.runAsGroup === undefined ? [] : ["securityContext.runAsGroup"]),
    ];
    expect(report.map(({ property }) => property)).toEqual(expect.arrayContaining(asked));
    // Each add is spoken of once: as granted or as not.
    const reported = report.filter(({ property }) => property.endsWith(".add")).flatMap(({ requested }) => requested.split(" "));
    const dropped = new Set(securityContext.capabilities?.drop?.map(canonical));
    const adds = (securityContext.capabilities?.add ?? []).map(canonical).filter((added) => !dropped.has(added));
    expect(reported.sort()).toEqual(adds.sort());
  });

  test("what is not effective is warned about, with the way out", () => {
    const { enforcement, warnings } = sandbox.status;
    const without = enforcement.filter(({ enforced }) => !enforced);
    const cleared = ["adds-1000", "ambient-list", ...(knowsAmbient(runtime) ? [] : ["ambient-auto"])].sort();
    expect([...new Set(without.map(({ container }) => container))].sort()).toEqual(cleared);
    for (const { container, property, requested, note } of without) {
      const warning = warnings.find((text) => text.startsWith(`container ${container}: ${property} ${requested} is not effective`));
      expect(warning, container).toContain(note);
      expect(note).toContain("run as user 0");
      expect(note).toContain(knowsAmbient(runtime) ? "ask for capabilities.ambient: auto" : "use a runsc of June 2026 or newer");
    }
    expect(warnings).toHaveLength(without.length);
  });
});

const canonical = (name: string): string => `CAP_${name.toUpperCase().replace(/^CAP_/, "")}`;

/** Whether what an entry speaks of is so in a process. */
function isEffective({ property, requested }: Enforcement, status: ToldStatus["init"]): boolean {
  const names = requested.split(" ");
  switch (property) {
    case "securityContext.capabilities.add":
      return names.every((name) => hasCapability(status.capabilities.effective, name));
    case "securityContext.capabilities.ambient":
      return names.every((name) => hasCapability(status.capabilities.ambient ?? NO_CAPABILITIES, name));
    case "securityContext.capabilities.drop":
      // Beside ALL an add may stand, which the table has.
      return names.includes("ALL") || names.every((name) => !hasCapability(status.capabilities.bounding, name));
    case "securityContext.runAsUser":
      return status.uids.every((uid) => uid === Number(requested));
    case "securityContext.runAsGroup":
      return status.gids.every((gid) => gid === Number(requested));
    default:
      throw new Error(`no way to read ${property} from a process`);
  }
}

describe.each(CLASSES)("pause under $name", (runtime) => {
  /** Asks for much, so that what pause could catch from its apps would be seen. */
  const much = { runAsUser: 1000n, runAsGroup: 1000n, capabilities: { add: ["SYS_ADMIN", "NET_RAW"], ambientMode: AmbientMode.AUTO } };

  test.each([
    { asked: "nothing", securityContext: {} },
    { asked: "much", securityContext: much },
    { asked: "less than the default", securityContext: { capabilities: { drop: ["ALL"] } } },
  ])("is root with the three default capabilities when its app asks for $asked", async ({ securityContext }) => {
    const app = { name: "app", image: node.image, command: ["/bin/sleep", "1000"], securityContext };
    await using sandbox = await TestSandbox.create(node, "pause", { runtimeClassName: runtime.name, containers: [app] });
    const { status, proof } = sandbox.pauseStatus(runtime);
    expect(status.name).toBe("pause");
    if (runtime.adapter === "runsc") {
      expect(status).toMatchObject({ pid: 1, ppid: 0 });
      expect(proof).toEqual({ cmdline: "/pause\0-P\0" });
    } else {
      expect(status.namespacePids.at(-1)).toBe(1);
      expect(proof).toEqual({ cmdline: "/pause\0-P\0", ownPidNamespace: true });
    }
    const granted = "0000000020000420";
    expect(granted).toBe(defaultAnd());
    expect(status.capabilities).toEqual({
      inheritable: granted,
      permitted: granted,
      effective: granted,
      bounding: granted,
      ambient: knowsAmbient(runtime) ? NO_CAPABILITIES : undefined,
    });
    expect(status.uids).toEqual([0, 0, 0, 0]);
    expect(status.gids).toEqual([0, 0, 0, 0]);
    expect(status.groups).toEqual([]);
  });
});

/** runc and crun can only give what berthd has itself, and not every root has all. */
test.each(CLASSES)(
  "add ALL under $name gives all 41, or is refused by name where berthd's own bounding set lacks some",
  async (runtime) => {
    const securityContext = { capabilities: { add: ["ALL"] } };
    const spec = {
      runtimeClassName: runtime.name,
      containers: [{ name: "app", image: node.image, command: TELL_STATUS.slice(), securityContext }],
    };
    const own = /^CapBnd:\s*(\S+)$/m.exec(readFileSync(`/proc/${node.pid}/status`, "utf8"))?.[1];
    if (runtime.adapter === "runsc" || own === ALL_CAPABILITIES) {
      await using sandbox = await TestSandbox.create(node, "all", spec);
      await sandbox.completed();
      const { init, child } = parseTold(await sandbox.output("app"));
      for (const { capabilities } of [init, child]) {
        expect(capabilities).toMatchObject({ permitted: ALL_CAPABILITIES, effective: ALL_CAPABILITIES, bounding: ALL_CAPABILITIES });
      }
    } else {
      const missing = KERNEL_CAPABILITIES.filter((_name, bit) => ((BigInt(`0x${own}`) >> BigInt(bit)) & 1n) === 0n);
      const refusal = await TestSandbox.refused(node, "all", spec);
      expect(refusal).toMatchObject({
        code: "FAILED_PRECONDITION",
        reason: "NotEnforceable",
        violations: missing.map((value) => ({ value })),
      });
    }
  },
);
