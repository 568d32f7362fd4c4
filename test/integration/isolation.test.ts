/** What a container can see of and do to the host, its neighbours and other sandboxes, tried inside it. */

import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLASSES, TestNode } from "./node.ts";
import { type HostDevice, readableDisk } from "./support/host-device.ts";
import { Report, script } from "./support/report.ts";
import { endNode, TestSandbox } from "./support/sandbox.ts";

/** What a container that shares the kernel must not read. Which of them there are depends on the node's kernel. */
const MASKED = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

/** Opened for writing and closed again, so that a failing test harms no host. */
const WRITES = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity"];

/** Its port is of the sandbox's own network. */
const PORT = 7000;
const CONNECT = `nc -w 2 127.0.0.1 ${PORT} </dev/null`;

/** Tells what holds under every runtime. */
const COMMON = [
  "try hostname hostname",
  "try interfaces sh -c 'tail -n +3 /proc/net/dev | cut -d: -f1'",
  "try outside nc -w 2 192.0.2.1 80",
  "try nofile sh -c 'ulimit -Sn; ulimit -Hn'",
  "try limits sh -c 'ulimit -a'",
  "for kind in net ipc uts pid mnt cgroup; do try $kind readlink /proc/self/ns/$kind; done",
  // A builtin reads each name, so that nobody is there who only looks.
  `seen=; for process in /proc/[0-9]*; do read -r name <$process/comm; seen="$seen $process=$name"; done; try processes echo $seen`,
  'try environment sh -c \'tr "\\0" "\\n" </proc/1/environ | sort\'',
  // Neither in a substitution nor under a redirection of the shell's own, for which it would hold one more.
  "(/bin/ls /proc/1/fd >/tmp/descriptors); try descriptors cat /tmp/descriptors",
  "try umask sh -c umask",
  "try groups sh -c 'grep ^Groups: /proc/1/status'",
];

function kernelSharing(device: HostDevice): string[] {
  return [
    ...WRITES.map((path) => `try write:${path} sh -c ': >>${path}'`),
    "try write:/sys sh -c ': >>$(find /sys/kernel /sys/module -type f -perm -200 | head -n 1)'",
    "for dir in /sys/fs/cgroup $(grep ' - cgroup' /proc/self/mountinfo | cut -d' ' -f5); do",
    '  [ -e $dir/cgroup.procs ] && try cgroup:$dir mkdir $dir/new && try procs:$dir sh -c ": >>$dir/cgroup.procs"',
    "done",
    ...MASKED.map((path) => `if [ -d ${path} ]; then try masked:${path} ls ${path}; else try masked:${path} head -c 100 ${path}; fi`),
    "try cgroups cat /proc/self/cgroup",
    // A device of the standard set shows that nothing but the rule is in the way of the other.
    "try mknod:null mknod /tmp/null c 1 3",
    "try open:null sh -c 'echo x >/tmp/null'",
    `try mknod:disk mknod /tmp/disk ${device.mknod}`,
    "try open:disk head -c 1 /tmp/disk",
  ];
}

let node: TestNode;
let device: HostDevice;

beforeAll(async () => {
  // What berthd itself has and containers must not get from it.
  node = await TestNode.start({
    wrapper: ["setpriv", "--groups", "5,27", "env", "BERTHD_SECRET=1", "sh", "-c", 'umask 077; exec "$@"', "sh"],
  });
  device = readableDisk(node.dir);
});

afterAll(async () => await endNode(node));

describe.each(CLASSES)("under $name", ({ name: runtimeClassName, adapter }) => {
  const sharesKernel = adapter !== "runsc";
  let sandbox: TestSandbox;
  let other: TestSandbox;
  /** Two apps of one sandbox and one of another. */
  let first: Report;
  let second: Report;
  let stranger: Report;

  beforeAll(async () => {
    const container = (name: string, command: string[]) => ({ name, image: node.image, command });
    const serve = [`while true; do echo served | nc -l -p ${PORT}; done`];
    const connect = `tries=0; until out=$(${CONNECT}) || [ $tries -gt 100 ]; do tries=$((tries + 1)); sleep 0.1; done; try connect echo $out`;
    sandbox = await TestSandbox.create(node, "isolated", {
      runtimeClassName,
      containers: [container("first", script(COMMON, serve)), container("second", script([...COMMON, connect]))],
    });
    first = new Report(await sandbox.told("first", "ended"));
    second = new Report(await sandbox.told("second", "ended"));
    other = await TestSandbox.create(node, "other", {
      runtimeClassName,
      containers: [container("stranger", script([...COMMON, `try connect sh -c '${CONNECT}'`]))],
    });
    stranger = new Report(await other.told("stranger", "ended"));
  });

  afterAll(async () => {
    await other.delete();
    await sandbox.delete();
  });

  test("an app is PID 1 and sees no process but its own", () => {
    for (const report of [first, second, stranger]) expect(report.text("processes")).toBe("/proc/1=sh");
  });

  test("apps of a sandbox share its network, another sandbox does not", () => {
    expect(second.text("connect")).toBe("served");
    expect(stranger.of("connect")).toMatchObject({ ok: false });
    expect(stranger.of("connect").text).toMatch(/refused/i);
  });

  test("network none is lo and nothing else", () => {
    for (const report of [first, second, stranger]) {
      expect(report.text("interfaces")).toBe("lo");
      expect(report.of("outside").ok).toBe(false);
      expect(report.of("outside").text).toMatch(/unreachable|no route/i);
    }
  });

  test("the host name is the sandbox's name", () => {
    expect([first, second, stranger].map((report) => report.text("hostname"))).toEqual(["isolated", "isolated", "other"]);
  });

  test("every container has the default limits, the first as the last", () => {
    for (const report of [first, second, stranger]) {
      expect(report.text("nofile")).toBe("1024 1024");
      expect(report.text("limits")).toBe(first.text("limits"));
      if (!sharesKernel) expect(report.text("limits")).toMatch(/core file size \(blocks\) \(-c\) 0 .* stack size \(kb\) \(-s\) 8192 /);
    }
  });

  test("nothing of berthd's own reaches a container: environment, descriptors, groups, umask", () => {
    const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (const report of [first, second, stranger]) {
      // HOME is what all three runtimes add.
      expect(report.text("environment")).toBe(`HOME=/root ${path}`);
      expect(report.text("descriptors")).toBe("0 1 2");
      expect(report.text("groups")).toBe("Groups:");
      expect(report.text("umask")).toBe("0022");
    }
  });

  test("apps of a sandbox share net, ipc and uts, have a pid and mount namespace of their own, and share none with another sandbox", () => {
    const of = (report: Report, kinds: readonly string[]): string[] => kinds.map((kind) => report.text(kind));
    const shared = ["net", "ipc", "uts"];
    const own = ["pid", "mnt", ...(sharesKernel ? ["cgroup"] : [])];
    expect(of(first, shared)).toEqual(of(second, shared));
    // Numbers of gVisor's namespaces count from 1 in each sandbox: there the names of two sandboxes say nothing.
    const all = [...of(first, [...shared, ...own]), ...of(second, own), ...(sharesKernel ? of(stranger, [...shared, ...own]) : [])];
    expect(new Set(all).size).toBe(all.length);
    const host = ["net", "ipc", "uts", "pid", "mnt", "cgroup"].map((kind) => readlinkSync(`/proc/self/ns/${kind}`));
    expect(all.filter((name) => host.includes(name))).toEqual([]);
  });
});

describe.each(CLASSES.filter(({ adapter }) => adapter !== "runsc"))("the host's kernel under $name", ({ name: runtimeClassName }) => {
  let sandbox: TestSandbox;
  let report: Report;

  beforeAll(async () => {
    // Root that no permission of a file stops, only what the baseline mounts and masks.
    const securityContext = { capabilities: { add: ["DAC_OVERRIDE", "MKNOD"] } };
    const app = { name: "app", image: node.image, command: script(kernelSharing(device)), securityContext };
    sandbox = await TestSandbox.create(node, "kernel", { runtimeClassName, containers: [app] });
    report = new Report(await sandbox.told("app", "ended"));
  });

  afterAll(async () => await sandbox.delete());

  test.each([...WRITES, "/sys"])("%s cannot be opened for writing", (path) => {
    // What this node's kernel does not have is not there to be written either.
    const how = path === "/sys" || existsSync(path) ? /read-only file system/i : /nonexistent|no such file/i;
    expect(report.of(`write:${path}`)).toMatchObject({ ok: false, text: expect.stringMatching(how) as string });
  });

  test("no cgroup can be made, and none be joined", () => {
    const groups = report.names().filter((name) => name.startsWith("cgroup:"));
    // Each of the host's hierarchies, as this runtime shows them; without one nothing would have been tried.
    expect(groups.length).toBeGreaterThan(0);
    for (const name of [...groups, ...groups.map((group) => group.replace("cgroup:", "procs:"))]) {
      expect(report.of(name), name).toMatchObject({ ok: false, text: expect.stringMatching(/read-only file system/i) as string });
    }
  });

  test("the container is at the root of its cgroup namespace", () => {
    const groups = report.text("cgroups").split(" ");
    expect(groups.length).toBeGreaterThan(0);
    for (const group of groups) expect(group).toMatch(/^\d+:[^:]*:\/$/);
  });

  test("what would tell about the host reads as empty, though it is there and holds something", () => {
    const there = MASKED.filter((path) => existsSync(path));
    expect(there.filter((path) => hasContent(path))).not.toEqual([]);
    for (const path of there) expect(report.text(`masked:${path}`), path).toBe("");
  });

  test("a device of the host can be made with MKNOD but not opened; one of the standard set can", () => {
    expect(report.text("mknod:null")).toBe("");
    expect(report.text("open:null")).toBe("");
    expect(report.text("mknod:disk")).toBe("");
    expect(report.of("open:disk")).toMatchObject({ ok: false, text: expect.stringMatching(/operation not permitted/i) as string });
  });
});

/** Whether the host itself reads something there. */
function hasContent(path: string): boolean {
  if (lstatSync(path).isDirectory()) return readdirSync(path).length > 0;
  return readFileSync(path).length > 0;
}
