/** What an app can really do: case × runtime, read from its own processes inside the running sandbox and never from config.json. */

import { copyFileSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { AmbientMode, type Enforcement } from "../../src/gen/berth/v1/sandbox_pb.js";
import { table } from "../support/markdown.ts";
import { DENY_MKDIR, type GrantCase, GRANTS, SUPERVISORS } from "./matrix/cases.ts";
import { matrixRows, type Readings, readExpected, type RuntimeName, type RuntimeTable, writeExpected } from "./matrix/table.ts";
import { CLASSES, type ClassUnderTest, TestNode, WIDE_POLICY } from "./node.ts";
import {
  ALL_CAPABILITIES,
  DEFAULT_NAMES,
  defaultAnd,
  describeMask,
  hasCapability,
  isCapabilityName,
  NO_CAPABILITIES,
} from "./support/capabilities.ts";
import { endNode, type SpecInit, TestSandbox } from "./support/sandbox.ts";
import { staticProgram } from "./support/static-program.ts";
import { parseTold, type ProcessStatus, TELL_STATUS, tellStatusAnd, type ToldStatus } from "./support/status.ts";

/** What an app told of itself, and what became of each thing that it tried: ok, no-effect, an errno, or a value. */
interface Told extends ToldStatus {
  readonly tried: ReadonlyMap<string, string>;
}

const runtimeName = ({ adapter, release }: ClassUnderTest): RuntimeName => (adapter === "runsc" ? `runsc ${release ?? 2024}` : adapter);
/** runsc before June 2026 knows no ambient capabilities. */
const knowsAmbient = ({ release }: ClassUnderTest): boolean => release !== 2024;

/** The image's /etc/group lists its user in staff. */
const STAFF = 50;
const GROUPS = `root:x:0:\nstaff:x:${STAFF}:app\napp:x:1000:\nnogroup:x:65534:\n`;

let node: TestNode;
let profiles: string;
const images = new Map<string, string>();
const measured: Partial<Record<RuntimeName, RuntimeTable>> = {};

beforeAll(async () => {
  profiles = mkdtempSync("/tmp/bp-");
  const refused = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 };
  writeFileSync(join(profiles, DENY_MKDIR), JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [refused] }));
  node = await TestNode.start({ config: { seccompProfileDir: profiles }, policy: WIDE_POLICY });
  const effects = readFileSync(staticProgram("effects"));
  const extraFiles = {
    "etc/group": GROUPS,
    "effects/effects": { content: effects, mode: 0o755 },
    "effects/setuid": { content: effects, mode: 0o4755 },
    "effects/open": { directory: true as const, mode: 0o777 },
    "effects/mode-0000": { content: "secret", mode: 0 },
    "effects/group-77": { content: "shared", mode: 0o640, gid: 77 },
    "supervisor/supervisor": { content: readFileSync(staticProgram("supervisor")), mode: 0o755 },
    "supervisor/folder": { directory: true as const },
  };
  for (const user of new Set(GRANTS.map(({ imageUser = "" }) => imageUser))) {
    const dir = join(node.dir, `image-${images.size}`);
    images.set(user, busyboxImage(dir, { config: { User: user }, extraFiles }));
  }
  // The reader for pause, which has no program but its own. It must be static and there before the create.
  copyFileSync("/bin/busybox", join(node.state, "pause/rootfs/busybox"));
});

afterAll(async () => {
  const runtimes = CLASSES.map(runtimeName);
  console.log(`\n${table(["Case", "Read inside", ...runtimes], ...matrixRows(measured, runtimes))}`);
  rmSync(profiles, { recursive: true, force: true });
  await endNode(node);
});

const image = (user = ""): string => images.get(user) ?? "";

/** Lines "KIND RESULT NAME" of a program of test/fixtures, by name. */
const parseTried = (output: string, kind: string): Map<string, string> =>
  new Map([...output.matchAll(new RegExp(`^${kind} (\\S+) (\\S+)$`, "gm"))].map(([, result = "", name = ""]) => [name, result]));

/** User and capabilities of a process, as the table has them. */
const describeProcess = ({ uids, gids, groups, capabilities }: ProcessStatus): Record<"user" | "bounding" | "effective", string> => ({
  user: `${uids[0]}:${gids[0]} groups ${groups.join(" ") || "none"}`,
  bounding: describeMask(capabilities.bounding),
  effective: describeMask(capabilities.effective),
});

function readingsOf({ shows }: GrantCase, { init, tried }: Told): Readings {
  const named: Record<string, string> = {
    ambient: init.capabilities.ambient === undefined ? "unknown" : describeMask(init.capabilities.ambient),
    seccomp: String(init.seccomp),
  };
  const shown = shows.map((name) => {
    const value = named[name] ?? tried.get(name);
    if (value === undefined) throw new Error(`nothing was told about ${name}`);
    return [name, value] as const;
  });
  return { ...describeProcess(init), ...Object.fromEntries(shown) };
}

const CASES = [...GRANTS, ...SUPERVISORS];
/** Cases by the sandbox that they share. */
const SANDBOXES = [...Map.groupBy(GRANTS, ({ sandbox }) => sandbox)];

describe.each(CLASSES)("under $name", (runtime) => {
  const ownKernel = runtime.adapter === "runsc";
  const sandboxes: TestSandbox[] = [];
  const told = new Map<string, Told>();
  const readings: Record<string, Readings> = {};

  const of = (name: string): Told => {
    const status = told.get(name);
    if (!status) throw new Error(`nothing was read in ${name}`);
    return status;
  };
  /** Runs the containers of a sandbox to their end and answers what each said. */
  const outputs = async (spec: SpecInit): Promise<Map<string, string>> => {
    const sandbox = await TestSandbox.create(node, `matrix-${sandboxes.length}`, { ...spec, runtimeClassName: runtime.name });
    sandboxes.push(sandbox);
    await sandbox.completed(60_000);
    const names = (spec.containers ?? []).map(({ name = "" }) => name);
    return new Map(await Promise.all(names.map(async (name) => [name, await sandbox.output(name)] as const)));
  };

  beforeAll(async () => {
    for (const [sandbox, cases] of SANDBOXES) {
      const containers = cases.map(({ name, securityContext, imageUser }) => ({
        name,
        image: image(imageUser),
        command: tellStatusAnd("/effects/effects"),
        securityContext,
      }));
      const said = await outputs({ containers, ...(sandbox && { securityContext: sandbox }) });
      for (const one of cases) {
        const status = parseTold(said.get(one.name) ?? "");
        told.set(one.name, { ...status, tried: parseTried(status.after, "EFFECT") });
        readings[one.name] = readingsOf(one, of(one.name));
      }
    }
    const containers = SUPERVISORS.map(({ name, add }) => ({
      name,
      image: image(),
      command: ["/supervisor/supervisor", "/supervisor/folder", ...TELL_STATUS],
      securityContext: { capabilities: { add: [...add] } },
    }));
    for (const [name, output] of await outputs({ containers })) {
      const steps = parseTried(output, "STEP");
      told.set(name, { ...parseTold(output.replaceAll(/^STEP .*\n/gm, "")), tried: steps });
      const workload = Object.entries(describeProcess(of(name).init)).map(([key, value]) => [`workload's ${key}`, value] as const);
      readings[name] = Object.fromEntries([...steps, ...workload]);
    }
    measured[runtimeName(runtime)] = readings;
    if (process.env["UPDATE_FIXTURES"] === "1") writeExpected(runtimeName(runtime), readings);
  });

  afterAll(async () => {
    for (const sandbox of sandboxes) await sandbox.delete();
  });

  const enforcementOf = (name: string): Enforcement[] =>
    sandboxes.flatMap(({ status }) => status.enforcement).filter(({ container }) => container === name);

  test("what was read are the apps themselves: PID 1 of a pid namespace of each one's own, and a child that it exec'ed", () => {
    for (const { name } of CASES) {
      const { init, child, kernel, pidNamespace } = of(name);
      expect(init, name).toMatchObject({ name: "sh", pid: 1, ppid: 0, namespacePids: ownKernel ? [] : [1] });
      expect(child, name).toMatchObject({ name: "cat", ppid: 1 });
      expect(child.pid, name).toBeGreaterThan(1);
      expect(pidNamespace).toMatch(/^pid:\[\d+\]$/);
      // Which kernel answered: gVisor's own, or the host's.
      expect(kernel === readFileSync("/proc/version", "utf8").trim(), kernel).toBe(!ownKernel);
    }
    // Numbers of gVisor's namespaces count from 1 in each sandbox.
    for (const cases of [...SANDBOXES.map(([, cases]) => cases), SUPERVISORS]) {
      const namespaces = cases.map(({ name }) => of(name).pidNamespace);
      expect(new Set(namespaces).size).toBe(cases.length);
      expect(namespaces).not.toContain(readlinkSync("/proc/self/ns/pid"));
    }
  });

  test.each(CASES)("$name: $what", ({ name }) => {
    expect(readings[name]).toEqual(readExpected()[runtimeName(runtime)]?.[name]);
  });

  test("the app and a child that it exec'ed have the same, in every set and id", () => {
    for (const { name } of CASES) {
      const { init, child } = of(name);
      const { capabilities, uids, gids, groups, seccomp } = init;
      expect(child, name).toMatchObject({ capabilities, uids, gids, groups, seccomp });
      expect(capabilities.permitted, name).toBe(capabilities.effective);
      // Where ambient capabilities are not known none are printed, and permitted shows that none are there.
      expect(capabilities.ambient === undefined).toBe(!knowsAmbient(runtime));
      for (const ids of [uids, gids]) expect(new Set(ids).size, name).toBe(1);
    }
    for (const { name } of GRANTS) expect(of(name).init.capabilities.inheritable, name).toBe(of(name).init.capabilities.bounding);
  });

  test("what a capability is for works where it is effective, and nowhere else", () => {
    const free = FREE[runtimeName(runtime)];
    for (const { name } of GRANTS) {
      const { child, tried } = of(name);
      const trials = [...tried].filter(([trial]) => isCapabilityName(trial));
      expect(trials.length).toBeGreaterThan(10);
      const works = (trial: string): boolean => free.includes(trial) || hasCapability(child.capabilities.effective, trial);
      const wrong = trials.filter(([trial, result]) => (result === "ok") !== works(trial));
      expect(wrong, name).toEqual([]);
    }
  });

  test.each(GRANTS)("$name: the enforcement report says what was measured", ({ name, securityContext, sandbox }) => {
    const report = enforcementOf(name);
    for (const entry of report) expect(holds(entry, of(name)), JSON.stringify(entry)).toBe(entry.enforced);
    const { child, tried } = of(name);
    const takesPorts = tried.get("NET_BIND_SERVICE") === "ok" && !hasCapability(child.capabilities.bounding, "NET_BIND_SERVICE");
    expect(report.some(({ note }) => note.includes("ports below 1024"))).toBe(takesPorts);
    const { capabilities, ...rest } = { ...sandbox, ...securityContext };
    const asked = [
      ...(capabilities?.add ? ["capabilities.add"] : []),
      ...(capabilities?.drop ? ["capabilities.drop"] : []),
      ...Object.keys(rest),
    ];
    expect([...new Set(report.map(({ property }) => property.replace("securityContext.", "")))]).toEqual(expect.arrayContaining(asked));
    // Each add is spoken of once: as granted or as not.
    const reported = report.filter(({ property }) => property.endsWith(".add")).flatMap(({ requested }) => requested.split(" "));
    const dropped = new Set(capabilities?.drop?.map(canonical));
    const adds = (capabilities?.add ?? []).map(canonical).filter((added) => !dropped.has(added));
    expect(reported.sort()).toEqual(adds.sort());
  });

  test("what is not effective is warned about, with the way out", () => {
    const warnings = sandboxes.flatMap(({ status }) => status.warnings);
    const without = sandboxes.flatMap(({ status }) => status.enforcement).filter(({ enforced }) => !enforced);
    const old = knowsAmbient(runtime) ? [] : ["ambient-auto", "escalation", "umask"];
    expect([...new Set(without.map(({ container }) => container))].sort()).toEqual(["adds-1000", "ambient-list", ...old].sort());
    for (const { container, property, requested, note } of without) {
      const warning = warnings.find((text) => text.startsWith(`container ${container}: ${property} ${requested} is not effective`));
      expect(warning, container).toContain(note);
      if (!property.includes("capabilities")) continue;
      expect(note).toContain("run as user 0");
      expect(note).toContain(knowsAmbient(runtime) ? "ask for capabilities.ambient: auto" : "use a runsc of June 2026 or newer");
    }
    expect(warnings).toHaveLength(without.length);
  });
});

const canonical = (name: string): string => `CAP_${name.toUpperCase().replace(/^CAP_/, "")}`;

/** What a kernel lets everybody do: where a trial needs no capability. */
const FREE: Readonly<Record<RuntimeName, readonly string[]>> = {
  "runsc 2024": ["NET_BIND_SERVICE", "SYS_NICE", "MKNOD"],
  "runsc 2026": ["NET_BIND_SERVICE", "SYS_NICE"],
  runc: [],
  crun: [],
};

/** Whether what an entry speaks of is so. Undefined when it is so in part, or for one of the processes only. */
function holds({ property, requested }: Enforcement, { init, child, tried }: Told): boolean | undefined {
  const worked = (trial: string): boolean => tried.get(trial) === "ok";
  const both = (check: (status: ProcessStatus) => boolean): boolean | undefined => {
    const [first, second] = [check(init), check(child)];
    return first === second ? first : undefined;
  };
  const each = (names: readonly string[], check: (name: string) => boolean | undefined): boolean | undefined => {
    const answers = new Set(names.map(check));
    return answers.size === 1 ? [...answers][0] : undefined;
  };
  const names = requested.split(" ");
  switch (property.replace("securityContext.", "")) {
    case "capabilities.add":
      return each(names, (name) =>
        both(({ capabilities }) => hasCapability(capabilities.effective, name) && (tried.get(name.replace("CAP_", "")) ?? "ok") === "ok"),
      );
    case "capabilities.ambient":
      return each(names, (name) => both(({ capabilities }) => hasCapability(capabilities.ambient ?? NO_CAPABILITIES, name)));
    case "capabilities.drop":
      // Beside ALL an add may stand; what else is left the table has.
      return each(names.includes("ALL") ? DEFAULT_NAMES : names, (name) =>
        both(({ capabilities }) => !hasCapability(capabilities.bounding, name)),
      );
    case "runAsUser":
      return both(({ uids }) => uids.every((uid) => uid === Number(requested)));
    case "runAsGroup":
      return both(({ gids }) => gids.every((gid) => gid === Number(requested)));
    case "runAsNonRoot":
      return both(({ uids }) => !uids.includes(0));
    case "supplementalGroups":
      return both(({ groups }) => names.every((group) => groups.includes(Number(group))));
    case "supplementalGroupsPolicy":
      return both(({ groups }) => !groups.includes(STAFF));
    case "allowPrivilegeEscalation":
      return worked("setuid-program") === (requested === "true");
    case "readOnlyRootFilesystem":
      return tried.get("write-root") === (requested === "true" ? "EROFS" : "ok");
    case "umask":
      return tried.get("umask") === requested;
    case "seccompProfile":
      if (requested === "Unconfined") return both(({ seccomp }) => seccomp === 0) && tried.get("use-keyring") !== "EPERM";
      return both(({ seccomp }) => seccomp === 2) && tried.get(requested === "RuntimeDefault" ? "use-keyring" : "mkdir") === "EPERM";
    default:
      throw new Error(`no way to read ${property} from inside`);
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
