/** What the installed unit gives to berthd, containers must not feel: the installed berthd runs as systemd would start it. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installTree } from "../../src/dev/install-tree.ts";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { type Directive, launchPrefix, parseUnit } from "../systemd/unit.ts";
import { WIDE_POLICY, CLASSES, TestNode } from "./node.ts";
import { defaultAnd, NO_CAPABILITIES } from "./support/capabilities.ts";
import { Report, script } from "./support/report.ts";
import { endNode, TestSandbox } from "./support/sandbox.ts";
import { parseStatus } from "./support/status.ts";

const SHARING = CLASSES.filter(({ adapter }) => adapter !== "runsc");

/**
 * Busybox drops the rights of a setuid bit for every program but those that need them, of which ping is one: setuid root it is root
 * for the user who calls it, and what it then does needs NET_RAW.
 */
const SETUID_PING = "/setuid/ping";

/** Prints the status of a running ping; its name tells that it is not the shell any more that was forked for it. */
const TELL_PING = [
  `${SETUID_PING} -c 100 127.0.0.1 >/dev/null 2>&1 & pid=$!`,
  "tries=0; until read -r name <$(echo /proc/$pid/comm) && [ $name = ping ] || [ $tries -gt 100 ]; do tries=$((tries + 1)); done",
  "cat /proc/$pid/status; kill $pid; echo --",
];

let root: string;
let image: string;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "berth-unit-"));
  await installTree(join(root, "tree"));
  const setuid = { content: readFileSync("/bin/busybox"), mode: 0o4755 };
  image = busyboxImage(join(root, "image"), { extraFiles: { "setuid/ping": setuid } });
});

afterAll(() => rmSync(root, { recursive: true }));

function installedUnit(more = ""): Directive[] {
  return parseUnit(`${readFileSync(join(root, "tree/usr/lib/systemd/system/berthd.service"), "utf8")}\n${more}`);
}

/** Starts the berthd of the tree, as the unit says, in the place of the checkout's; with the tree's Node, which its first line names by the place on a node. */
async function start(unit: readonly Directive[]): Promise<TestNode> {
  const program = unit.find(({ name }) => name === "ExecStart")?.value ?? "";
  const instead = `shift 2; exec ${join(root, "tree/usr/lib/berth/node")} ${join(root, "tree", program)} "$@"`;
  return await TestNode.start({ policy: WIDE_POLICY, wrapper: [...launchPrefix(unit), "sh", "-c", instead, "sh"], isBundle: true });
}

/** As uid 1000: the status of the running setuid program, and what came of it and of the same program without the bit. */
async function pings(node: TestNode, runtimeClassName: string): Promise<{ setuidStatus: string; report: Report }> {
  const securityContext = { runAsUser: 1000n, runAsGroup: 1000n, capabilities: { add: ["NET_RAW"] } };
  const tries = [`try setuid ${SETUID_PING} -c 1 127.0.0.1`, "try plain /bin/ping -c 1 127.0.0.1", "try own cat /proc/1/status"];
  const app = { name: "app", image, command: script([...TELL_PING, ...tries]), securityContext };
  await using sandbox = await TestSandbox.create(node, "setuid", { runtimeClassName, containers: [app] });
  await sandbox.completed();
  const output = await sandbox.output("app");
  const [setuidStatus = ""] = output.split("--\n");
  return { setuidStatus, report: new Report(output) };
}

describe("under the installed unit", () => {
  let node: TestNode;

  beforeAll(async () => {
    node = await start(installedUnit());
  });

  afterAll(async () => await endNode(node));

  test("berthd is the installed one and has its limits, and nothing was taken from it", () => {
    expect(readFileSync(`/proc/${node.pid}/cmdline`, "utf8")).toContain(join(root, "tree/usr/"));
    const status = readFileSync(`/proc/${node.pid}/status`, "utf8");
    const own = readFileSync("/proc/self/status", "utf8");
    for (const line of [/^CapBnd:.*$/m, /^NoNewPrivs:.*$/m, /^Seccomp:.*$/m]) expect(line.exec(status)?.[0]).toBe(line.exec(own)?.[0]);
    const [, limit] = /--nofile=(\d+):/.exec(launchPrefix(installedUnit()).join(" ")) ?? [];
    expect(readFileSync(`/proc/${node.pid}/limits`, "utf8")).toMatch(new RegExp(`^Max open files\\s+${limit}\\s`, "m"));
  });

  test.each(SHARING)("a setuid program works under $name", async ({ name }) => {
    const { setuidStatus, report } = await pings(node, name);
    const status = parseStatus(setuidStatus);
    expect(status.name).toBe("ping");
    expect(status.uids).toEqual([1000, 0, 0, 0]);
    expect(status.capabilities).toMatchObject({
      permitted: defaultAnd("NET_RAW"),
      effective: defaultAnd("NET_RAW"),
      bounding: defaultAnd("NET_RAW"),
    });
    expect(report.text("setuid")).toContain("1 packets received");
    // Without the bit the user has nothing, so that it was the bit.
    expect(report.of("plain")).toMatchObject({ ok: false });
    expect(report.text("own")).toContain(`CapEff: ${NO_CAPABILITIES}`);
    expect(report.text("own")).toContain("NoNewPrivs: 0");
  });

  test.each(SHARING)("added capabilities work under $name, and the limits are those of config.json", async ({ name: runtimeClassName }) => {
    const command = script([
      "try mtu ip link set lo mtu 1400",
      "try mount mount -t tmpfs none /tmp",
      "try nofile sh -c 'ulimit -Sn; ulimit -Hn'",
    ]);
    const add = ["NET_ADMIN", "SYS_ADMIN"];
    await using sandbox = await TestSandbox.create(node, "added", {
      runtimeClassName,
      containers: [
        { name: "without", image, command },
        { name: "with", image, command, securityContext: { capabilities: { add } } },
      ],
    });
    await sandbox.completed();
    const [without, granted] = [new Report(await sandbox.output("without")), new Report(await sandbox.output("with"))];
    for (const what of ["mtu", "mount"]) {
      expect(without.of(what), what).toMatchObject({ ok: false, text: expect.stringMatching(/not permitted|denied/i) as string });
      expect(granted.of(what), what).toMatchObject({ ok: true });
    }
    for (const report of [without, granted]) expect(report.text("nofile")).toBe("1024 1024");
  });
});

/** That the tests above would notice: the same under a unit that takes away what containers inherit. */
describe("under a hardened unit", () => {
  let node: TestNode;

  beforeAll(async () => {
    node = await start(installedUnit("[Service]\nNoNewPrivileges=yes\nCapabilityBoundingSet=~CAP_SYS_TIME"));
  });

  afterAll(async () => await endNode(node));

  test.each(SHARING)("a setuid program stays without effect under $name", async ({ name }) => {
    const { report } = await pings(node, name);
    expect(report.text("own")).toContain("NoNewPrivs: 1");
    expect(report.of("setuid")).toMatchObject({ ok: false, text: expect.stringContaining("permission denied") as string });
  });

  test.each(SHARING)(
    "an add that berthd lacks is refused by name under $name, and given under gVisor",
    async ({ name: runtimeClassName }) => {
      const app = { name: "app", image, command: ["/bin/true"], securityContext: { capabilities: { add: ["SYS_TIME"] } } };
      const refusal = await TestSandbox.refused(node, "lacking", { runtimeClassName, containers: [app] });
      expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable", violations: [{ value: "CAP_SYS_TIME" }] });
      const command = script(["try own grep CapEff /proc/1/status"]);
      await using sandbox = await TestSandbox.create(node, "lacking", { runtimeClassName: "runsc", containers: [{ ...app, command }] });
      await sandbox.completed();
      expect(new Report(await sandbox.output("app")).text("own")).toBe(`CapEff: ${defaultAnd("SYS_TIME")}`);
    },
  );
});
