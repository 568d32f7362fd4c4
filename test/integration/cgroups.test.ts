/** Where the processes of a sandbox are, in every cgroup hierarchy, from their first moment to the last. */

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Cgroups } from "../../src/host/cgroups.ts";
import { CLASSES, type ClassUnderTest, TestNode } from "./node.ts";
import { groupsBelow, groupsNaming, HIERARCHIES, HIERARCHY_NAMES } from "./support/cgroups.ts";
import { type HostProcess, hostProcesses, monitorTrees } from "./support/processes.ts";
import { answering, endNode, TestSandbox } from "./support/sandbox.ts";

/** A group of berthd's own, as its unit has one, so that whoever stays behind in it is seen. */
const OWN = `/berth-test-own-${randomBytes(6).toString("hex")}`;

const cgroups = new Cgroups();
let node: TestNode;

beforeAll(async () => {
  cgroups.create(OWN);
  const join = `for procs in ${cgroups.procsFiles(OWN).join(" ")}; do echo $$ >$procs; done; exec "$@"`;
  node = await TestNode.start({ wrapper: ["sh", "-c", join, "sh"] });
});

afterAll(async () => {
  try {
    await endNode(node);
  } finally {
    await cgroups.remove(OWN);
  }
});

/** "GROUP: COMMAND" for each process and hierarchy in which it is not below the group of its sandbox. */
function strays(processes: readonly HostProcess[], group: string): string[] {
  return processes.flatMap(({ argv, groups }) =>
    HIERARCHY_NAMES.filter((name) => !groups.get(name)?.startsWith(`${group}/`)).map(
      (name) => `${name}:${groups.get(name)}: ${argv.join(" ")}`,
    ),
  );
}

/** Looks at the processes of the node's sandboxes, again and again, until the promise settles; answers what it saw astray, and whom it saw. */
async function watchWhile(promise: Promise<unknown>): Promise<{ astray: Set<string>; seen: Set<string>; looks: number }> {
  const astray = new Set<string>();
  const seen = new Set<string>();
  const watching = new AbortController();
  const end = (): void => watching.abort();
  promise.then(end, end);
  let looks = 0;
  for (; !watching.signal.aborted; looks++) {
    const members = monitorTrees(hostProcesses(), node.dir);
    for (const { argv } of members) seen.add(kindOf(argv));
    for (const stray of strays(members, node.cgroupRoot)) astray.add(stray);
    await setImmediate();
  }
  return { astray, seen, looks };
}

/** What a process is in a sandbox, by its command line. */
function kindOf(argv: readonly string[]): string {
  const [program = "", script = ""] = argv;
  if (script.endsWith("/runsc-app.sh")) return "stand-in";
  return program.slice(program.lastIndexOf("/") + 1);
}

/** Who makes up a running sandbox with two apps. */
function expectedKinds({ adapter }: ClassUnderTest): string[] {
  if (adapter !== "runsc") return ["conmon", "conmon", "conmon", "pause", "sleep", "sleep"];
  // The sandbox has pause and the apps in it; its own helpers have its name.
  return ["conmon", "conmon", "conmon", "runsc-gofer", "runsc-gofer", "runsc-gofer", "runsc-sandbox", "stand-in", "stand-in"];
}

function spec(runtimeClassName: string) {
  const app = (name: string) => ({ name, image: node.image, command: ["/bin/sleep", "1000"] });
  return { runtimeClassName, containers: [app("one"), app("two")] };
}

/** Pids in a group itself, in any hierarchy. */
function members(group: string): number[] {
  const pids = cgroups.procsFiles(group).flatMap((file) => readFileSync(file, "utf8").split("\n").filter(Boolean).map(Number));
  return [...new Set(pids)];
}

describe.each(CLASSES)("under $name", (runtime) => {
  test("every process of a sandbox is in the sandbox's group in every hierarchy, from the first moment, and nobody stays with berthd", async () => {
    const creating = TestSandbox.create(node, "grouped", spec(runtime.name));
    const { astray, seen, looks } = await watchWhile(creating);
    await using sandbox = await creating;
    expect(looks).toBeGreaterThan(5);
    expect([...seen]).toEqual(expect.arrayContaining(["conmon", ...new Set(expectedKinds(runtime))]));
    expect([...astray]).toEqual([]);

    const processes = monitorTrees(hostProcesses(), node.dir);
    expect(strays(processes, `${node.cgroupRoot}/${sandbox.id}`)).toEqual([]);
    expect(processes.map(({ argv }) => kindOf(argv)).sort()).toEqual(expect.arrayContaining(expectedKinds(runtime)));
    expect(members(OWN)).toEqual([node.pid]);
  });

  test("nothing of its groups is left after a delete, also when berthd was killed while one sandbox ran and another was being made", async () => {
    const running = await TestSandbox.create(node, "running", spec(runtime.name));
    const ids = [running.id, ...["pause", "one", "two"].map((name) => running.containerId(name))];
    expect(new Set(groupsNaming(running.id).map(hierarchyOf)).size).toBe(HIERARCHIES.length);

    const unfinished = TestSandbox.create(node, "unfinished", spec(runtime.name)).then(
      () => "was made",
      () => "was cut off",
    );
    const monitors = (): number => monitorTrees(hostProcesses(), node.dir).filter(({ argv }) => kindOf(argv) === "conmon").length;
    // Three are of the one that runs; with one more, pause of the other is there and its apps are not.
    while (monitors() < 4) await setImmediate();
    await node.endDaemon("SIGKILL");
    expect(await unfinished).toBe("was cut off");
    expect(groupsBelow(node.cgroupRoot).filter((dir) => !ids.some((id) => dir.includes(id)))).not.toEqual([]);

    await node.startDaemon();
    await answering(node);
    const survivors = monitorTrees(hostProcesses(), node.dir);
    expect(survivors.map(({ argv }) => kindOf(argv))).toEqual(expect.arrayContaining(expectedKinds(runtime)));
    expect(strays(survivors, `${node.cgroupRoot}/${running.id}`)).toEqual([]);
    expect(members(OWN)).toEqual([node.pid]);
    await running.delete();
    expect(groupsBelow(node.cgroupRoot)).toEqual([]);
    expect(groupsNaming(...ids)).toEqual([]);
    expect(node.leftovers()).toEqual([]);
  });
});

const hierarchyOf = (dir: string): string | undefined => HIERARCHIES.find(({ mountPoint }) => dir.startsWith(`${mountPoint}/`))?.mountPoint;
