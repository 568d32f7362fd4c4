import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { Cgroups } from "../../src/host/cgroups.ts";

const V1 = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/with\\040blank rw - cgroup cgroup rw,xattr,name=systemd,release_agent=/lib/x
34 31 0:29 / /elsewhere/cpu rw,nosuid - cgroup cgroup rw,cpu,cpuacct
`;
const V2 = "29 23 0:26 / /nowhere/cgroup rw,nosuid,nodev - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";

/** A path that no other test uses; the group is removed at the end, with what runs in it. */
function makeGroupPath(cgroups: Cgroups): { path: string } & AsyncDisposable {
  const top = `/berth-test-${process.pid}-${Math.random().toString(36).slice(2)}`;
  return {
    path: top,
    async [Symbol.asyncDispose]() {
      await cgroups.killAll(top);
      await cgroups.remove(top);
    },
  };
}

test("the layout is read from the mounts: v1, v2 or both", () => {
  expect(new Cgroups(V1).layout).toBe("v1");
  expect(new Cgroups(V2).layout).toBe("v2");
  expect(new Cgroups(V1 + V2).layout).toBe("hybrid");
  expect(() => new Cgroups("1 1 0:1 / / rw - ext4 /dev/vda rw\n")).toThrow(/no cgroup hierarchy/);
});

test("each v1 hierarchy is found once, with its controllers and its unescaped mount point", () => {
  expect(new Cgroups(V1).hierarchies).toEqual([
    { mountPoint: "/sys/fs/cgroup/cpu,cpuacct", version: 1, controllers: ["cpu", "cpuacct"] },
    { mountPoint: "/sys/fs/cgroup/with blank", version: 1, controllers: ["name=systemd"] },
  ]);
});

test("a group is made with its parents in every hierarchy, listed, and removed with all below", async () => {
  const cgroups = new Cgroups();
  await using group = makeGroupPath(cgroups);
  cgroups.create(`${group.path}/a/monitor`);
  cgroups.create(`${group.path}/b`);
  cgroups.create(`${group.path}/b`);
  for (const file of cgroups.procsFiles(`${group.path}/a/monitor`)) expect(existsSync(file), file).toBe(true);
  expect(cgroups.procsFiles(group.path)).toHaveLength(cgroups.hierarchies.length);
  expect(cgroups.list(group.path)).toEqual(["a", "b"]);
  await cgroups.remove(group.path);
  for (const { mountPoint } of cgroups.hierarchies) expect(existsSync(join(mountPoint, group.path))).toBe(false);
  expect(cgroups.list(group.path)).toEqual([]);
  await cgroups.remove(group.path);
});

test("a process can be put into every hierarchy's group, the v1 cpuset included, and is killed with what it started", async () => {
  const cgroups = new Cgroups();
  await using group = makeGroupPath(cgroups);
  const path = `${group.path}/pod/app`;
  cgroups.create(path);
  const child = spawn("sh", ["-c", "read go; sleep 60 & sleep 60"], { stdio: ["pipe", "ignore", "ignore"] });
  const ended = once(child, "exit");
  for (const file of cgroups.procsFiles(path)) writeFileSync(file, String(child.pid));
  const membership = readFileSync(`/proc/${child.pid}/cgroup`, "utf8").trim().split("\n");
  for (const line of membership) expect(line).toMatch(new RegExp(`:${path}$`));
  child.stdin.end("go\n");
  const pids = (): string[] =>
    readFileSync(cgroups.procsFiles(path)[0] ?? "", "utf8")
      .trim()
      .split("\n")
      .filter(Boolean);
  await expect.poll(() => pids().length).toBe(3);
  await cgroups.killAll(group.path);
  expect(await ended).toEqual([null, "SIGKILL"]);
  await cgroups.remove(group.path);
  for (const { mountPoint } of cgroups.hierarchies) expect(existsSync(join(mountPoint, group.path))).toBe(false);
});

/** The hierarchies as the node has them, and its v2 tree alone where it has one: each freezes in its own way. */
const FREEZING = [
  ["as mounted", () => new Cgroups()],
  [
    "v2 alone",
    () => {
      const own = new Cgroups().hierarchies.find(({ version }) => version === 2);
      return own && new Cgroups(`1 1 0:1 / ${own.mountPoint} rw - cgroup2 cgroup2 rw\n`);
    },
  ],
] as const;

test.for(FREEZING)(
  "%s: what is in a group stands still while it is frozen, goes on, and is killed while it is frozen",
  async ([, make], context) => {
    const cgroups = make();
    if (cgroups === undefined) return context.skip("this node has no v2 tree");
    await using group = makeGroupPath(cgroups);
    const path = `${group.path}/app`;
    cgroups.create(path);
    const child = spawn("sh", ["-c", "read go; while :; do echo tick; sleep 0.005; done"], { stdio: ["pipe", "pipe", "ignore"] });
    const ended = once(child, "exit");
    let ticks = 0;
    child.stdout.on("data", () => (ticks += 1));
    for (const file of cgroups.procsFiles(path)) writeFileSync(file, String(child.pid));
    child.stdin.end("go\n");
    await expect.poll(() => ticks).toBeGreaterThan(2);
    await cgroups.freeze(path);
    await cgroups.freeze(path);
    await sleep(50); // what was in the pipe
    const then = ticks;
    await sleep(200);
    expect(ticks).toBe(then);
    cgroups.thaw(group.path);
    await expect.poll(() => ticks).toBeGreaterThan(then);
    await cgroups.freeze(path);
    await cgroups.killAll(group.path);
    expect(await ended).toEqual([null, "SIGKILL"]);
    // Where there is nothing, nothing need be done.
    await cgroups.freeze(`${group.path}/nobody`);
    cgroups.thaw(`${group.path}/nobody`);
  },
);

test("in a v2 tree the controllers reach the group, and none is handed on by the group that holds processes", async (context) => {
  const own = new Cgroups().hierarchies.find(({ version }) => version === 2);
  const controllers = own?.controllers.filter((controller) => controller !== "misc") ?? [];
  if (own === undefined || controllers.length === 0) return context.skip("this node has no v2 tree with controllers");
  const cgroups = new Cgroups(`1 1 0:1 / ${own.mountPoint} rw - cgroup2 cgroup2 rw\n`);
  await using group = makeGroupPath(cgroups);
  const path = `${group.path}/pod/app`;
  cgroups.create(path);
  const read = (file: string): string[] =>
    readFileSync(join(own.mountPoint, path, file), "utf8")
      .trim()
      .split(" ")
      .filter(Boolean);
  expect(read("cgroup.controllers")).toEqual(expect.arrayContaining(controllers));
  expect(read("cgroup.subtree_control")).toEqual([]);
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  const ended = once(child, "exit");
  writeFileSync(cgroups.procsFiles(path)[0] ?? "", String(child.pid));
  cgroups.create(`${path}/below`);
  expect(read("cgroup.procs")).toEqual([String(child.pid)]);
  await cgroups.killAll(group.path);
  expect(await ended).toEqual([null, "SIGKILL"]);
});

test("where there is no v2 tree, what is in the group is killed one by one", async (context) => {
  const mountinfo = readFileSync("/proc/self/mountinfo", "utf8");
  if (new Cgroups().layout === "v2") return context.skip("this node has no v1 hierarchy");
  const cgroups = new Cgroups(
    mountinfo
      .split("\n")
      .filter((line) => !line.includes(" - cgroup2 "))
      .join("\n"),
  );
  await using group = makeGroupPath(cgroups);
  cgroups.create(`${group.path}/app`);
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  const ended = once(child, "exit");
  for (const file of cgroups.procsFiles(`${group.path}/app`)) writeFileSync(file, String(child.pid));
  await cgroups.killAll(group.path);
  expect(await ended).toEqual([null, "SIGKILL"]);
});

test("removing a group that is in use waits for its processes to end", async () => {
  const cgroups = new Cgroups();
  await using group = makeGroupPath(cgroups);
  cgroups.create(group.path);
  const child = spawn("sleep", ["0.3"], { stdio: "ignore" });
  for (const file of cgroups.procsFiles(group.path)) writeFileSync(file, String(child.pid));
  await cgroups.remove(group.path);
  expect(cgroups.hierarchies.some(({ mountPoint }) => existsSync(join(mountPoint, group.path)))).toBe(false);
});

test("removing a group whose processes stay is an error after two seconds that names it", async () => {
  const cgroups = new Cgroups();
  await using group = makeGroupPath(cgroups);
  cgroups.create(group.path);
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  for (const file of cgroups.procsFiles(group.path)) writeFileSync(file, String(child.pid));
  await expect(cgroups.remove(group.path)).rejects.toThrow(group.path);
});

test("a path that leads out of the tree, or names its root, is refused", () => {
  const cgroups = new Cgroups();
  expect(() => cgroups.create("/a/../../x")).toThrow(/not the path/);
  expect(() => cgroups.create("/")).toThrow(/not the path/);
});
