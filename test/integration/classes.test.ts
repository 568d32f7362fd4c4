/** Runtime classes by config: one more, bad binaries, binaries that change while sandboxes live, runtimes that hang. */

import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SandboxState } from "../../src/gen/berth/v1/sandbox_pb.js";
import { TestNode } from "./node.ts";
import { digestOf, hasCurrentRunsc, install, installed, installHanging, installScript } from "./support/binaries.ts";
import { hostProcesses } from "./support/processes.ts";
import { answering, endNode, type SpecInit, TestSandbox } from "./support/sandbox.ts";

let node: TestNode;
/** Where the binaries of the classes below lie. */
let bin: string;

/** Classes whose binary each test puts there. */
const BAD = [
  { name: "missing", adapter: "runc", install: () => undefined, says: /there is no runtime binary .*missing.*install it, or name another/ },
  {
    name: "not-executable",
    adapter: "runc",
    install: (path: string) => installScript(path, "echo runc version 1.1.5", 0o644),
    says: /there is no runtime binary .*not-executable/,
  },
  {
    name: "garbage",
    adapter: "crun",
    install: (path: string) => installScript(path, "echo '<html>404 not found</html>'"),
    says: /garbage --version does not answer like an OCI runtime: <html>404 not found/,
  },
  {
    name: "no-program",
    adapter: "crun",
    install: (path: string) => installScript(path, "\0\x01\x02"),
    says: /no-program.*(exec format error|does not answer like an OCI runtime)/i,
  },
  {
    name: "exits-1",
    adapter: "runsc",
    install: (path: string) => installScript(path, "echo this node has no cheese >&2; exit 1"),
    says: /exits-1 --version does not answer like an OCI runtime: this node has no cheese/,
  },
  {
    name: "runsc-2022",
    adapter: "runsc",
    install: (path: string) => installScript(path, "echo runsc version 0.0~20221219.0"),
    says: /runsc-2022 is runsc of 20221219; berth needs one of 2024 or newer/,
  },
  {
    name: "undated",
    adapter: "runsc",
    install: (path: string) => installScript(path, "echo runsc version HEAD"),
    says: /undated reports the version "HEAD", which has no date: use a release build of runsc/,
  },
  {
    name: "cannot-run",
    adapter: "runc",
    install: (path: string) =>
      installScript(path, '[ "$1" = --version ] && exec echo runc version 1.1.5; echo no room in the stable >&2; exit 1'),
    says: /cannot-run cannot run a container on this node: no room in the stable/,
  },
  {
    // What counts is why it does not run in the way that avoids its dislike of the node's cgroups.
    name: "dislikes-more",
    adapter: "crun",
    install: (path: string) =>
      installScript(
        path,
        `[ "$1" = --version ] && exec echo crun version 1.8.1
         grep -q . /sys/fs/cgroup/unified/cgroup.controllers && echo cgroups in hybrid mode not supported || echo no room in the stable
         exit 1`,
      ),
    says: /dislikes-more cannot run a container on this node: no room in the stable/,
  },
] as const;

beforeAll(async () => {
  bin = mkdtempSync("/tmp/btb-");
  install(installed("runc"), join(bin, "fourth"));
  const path = (name: string): string => join(bin, name);
  node = await TestNode.start({
    runtimeClasses: [
      { name: "fourth", adapter: "runc", binary: path("fourth"), flags: ["--debug"], aliases: ["quarte"] },
      ...BAD.map(({ name, adapter }) => ({ name, adapter, binary: path(name) })),
      { name: "changing-runc", adapter: "runc", binary: path("changing-runc") },
      { name: "changing-runsc", adapter: "runsc", binary: path("changing-runsc") },
      { name: "hangs-at-create", adapter: "runc", binary: path("hangs-at-create") },
      { name: "hangs-at-start", adapter: "runc", binary: path("hangs-at-start") },
    ],
  });
});

afterAll(async () => {
  try {
    await endNode(node);
  } finally {
    rmSync(bin, { recursive: true });
  }
});

function spec(runtimeClassName: string, ...command: string[]): SpecInit {
  return { runtimeClassName, containers: [{ name: "app", image: node.image, command }] };
}

/** A sandbox of the class runs a program to its end. */
async function works(runtimeClassName: string): Promise<void> {
  await using sandbox = await TestSandbox.create(node, "works", spec(runtimeClassName, "/bin/echo", "it works"));
  await sandbox.completed();
  expect(await sandbox.output("app")).toBe("it works\n");
}

const classInfo = async (name: string) => (await node.info.info({})).runtimeClasses.find((entry) => entry.name === name);

describe("a class by config alone", () => {
  test("runs sandboxes with its own binary, by its name and its alias", async () => {
    for (const name of ["fourth", "quarte"]) {
      await works(name);
      await using sandbox = await TestSandbox.create(node, "which", spec(name, "/bin/sleep", "1000"));
      const runtime = { className: "fourth", adapter: "runc", binaryDigest: digestOf(join(bin, "fourth")) };
      expect(sandbox.status.runtime).toMatchObject(runtime);
    }
    expect(node.leftovers()).toEqual([]);
  });

  test("is listed with what its probe found, beside the built-in ones", async () => {
    const binary = join(bin, "fourth");
    const listed = { adapter: "runc", binary, ready: true, message: "", aliases: ["quarte"], binaryDigest: digestOf(binary) };
    expect(await classInfo("fourth")).toMatchObject(listed);
    expect((await classInfo("fourth"))?.version).toBe((await classInfo("runc"))?.version);
    const { runtimeClasses } = await node.info.info({});
    expect(runtimeClasses[0]).toMatchObject({ name: "runsc", aliases: ["gvisor"], ready: true, platform: "systrap" });
  });

  test("gets its flags before the verb", async () => {
    // Only with --debug does runc log its own doings.
    await using sandbox = await TestSandbox.create(node, "debugged", spec("fourth", "/bin/sleep", "1000"));
    await using quiet = await TestSandbox.create(node, "quiet", spec("runc", "/bin/sleep", "1000"));
    expect(sandbox.runtimeLog("app")).toContain('"level":"debug"');
    expect(quiet.runtimeLog("app")).not.toContain('"level":"debug"');
  });

  test("gvisor is runsc", async () => {
    await using sandbox = await TestSandbox.create(node, "alias", spec("gvisor", "/bin/sleep", "1000"));
    expect(sandbox.status.runtime).toMatchObject({ className: "runsc", adapter: "runsc", binaryDigest: digestOf(installed("runsc")) });
  });

  test("a class that the node does not have is refused, with those that it has", async () => {
    const refusal = await TestSandbox.refused(node, "none", spec("kata", "/bin/true"));
    expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "RuntimeClassUnknown" });
    expect(refusal.message).toMatch(/"kata".*runsc, gvisor, runc, crun.*fourth, quarte/);
  });
});

describe("a binary that is no good", () => {
  test.each(BAD)("$name: is refused with what to do, nothing is left, and the class works once the binary does", async (entry) => {
    const path = join(bin, entry.name);
    entry.install(path);
    const refusal = await TestSandbox.refused(node, "bad", spec(entry.name, "/bin/true"));
    expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "RuntimeUnusable", stage: "runtime", retryable: true });
    expect(refusal.message).toMatch(entry.says);
    expect(await classInfo(entry.name)).toMatchObject({ ready: false, message: expect.stringMatching(entry.says) as string });
    expect(node.leftovers()).toEqual([]);
    expect(probesLeft()).toEqual([]);

    await works("runc");
    install(installed(entry.adapter), path);
    await works(entry.name);
    expect(node.leftovers()).toEqual([]);
    expect(await classInfo(entry.name)).toMatchObject({ ready: true, message: "" });
  });
});

/** Files of trials that are over. */
function probesLeft(): string[] {
  const dir = join(node.run, "probes");
  return existsSync(dir) ? readdirSync(dir) : [];
}

describe("a binary that is replaced while a sandbox of its lives", () => {
  const runc = { name: "changing-runc", old: installed("runc"), next: installed("runc") };
  const runsc = { name: "changing-runsc", old: installed("runsc"), next: process.env["BERTH_TEST_RUNSC_CURRENT"] ?? "" };

  test.each([runc, { ...runsc, next: hasCurrentRunsc() ? runsc.next : runsc.old }])(
    "$name: the sandbox goes on and ends with the old one, a new sandbox gets the new one, and the old copy goes when nobody needs it",
    async ({ name, old, next }) => {
      const path = join(bin, name);
      // Programs of their own by their digests, each with bytes added that nobody reads: no other class needs them.
      install(old, path, "old");
      const oldDigest = digestOf(path);
      const loop = ["/bin/sh", "-c", "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.1; done"];
      await using before = await TestSandbox.create(node, "before", spec(name, ...loop));
      await using stopped = await TestSandbox.create(node, "stopped", spec(name, ...loop));
      await stopped.told("app", "ready");

      install(next, path, "new");
      const nextDigest = digestOf(path);
      expect(nextDigest).not.toBe(oldDigest);
      await using after = await TestSandbox.create(node, "after", spec(name, "/bin/sleep", "1000"));
      expect([before, stopped, after].map(({ status }) => status.runtime?.binaryDigest)).toEqual([oldDigest, oldDigest, nextDigest]);
      expect(await classInfo(name)).toMatchObject({ ready: true, binaryDigest: nextDigest });
      // Also a berthd that was not there when they were made.
      await node.endDaemon("SIGKILL");
      await node.startDaemon();
      await answering(node);
      expect(keptCopies()).toEqual(expect.arrayContaining([oldDigest, nextDigest]));

      const { sandbox } = await node.sandboxes.stop({ id: stopped.id, gracePeriod: { seconds: 10n } });
      expect(sandbox?.status).toMatchObject({
        state: SandboxState.STOPPED,
        containers: [{ exitCode: 3 }],
        runtime: { binaryDigest: oldDigest },
      });
      expect(await stopped.output("app")).toBe("ready\nasked\n");
      await stopped.delete();
      expect(keptCopies()).toContain(oldDigest);
      await before.delete();
      expect(keptCopies()).not.toContain(oldDigest);
      expect(keptCopies()).toContain(nextDigest);
      await after.delete();
      expect(node.leftovers()).toEqual([]);
    },
  );
});

const keptCopies = (): string[] => readdirSync(join(node.state, "runtimes")).map((name) => `sha256:${name}`);

describe("a runtime that hangs", () => {
  // Each takes the whole deadline of a command, so they run side by side.
  test("ends in DEADLINE_EXCEEDED that names the stage, and nothing is left of the sandbox and of the command", async () => {
    const runc = installed("runc");
    installHanging(join(bin, "hangs-at-create"), runc, "create");
    installHanging(join(bin, "hangs-at-start"), runc, "start");
    const [create, start] = await Promise.all([
      TestSandbox.refused(node, "create", spec("hangs-at-create", "/bin/sleep", "1000")),
      TestSandbox.refused(node, "start", spec("hangs-at-start", "/bin/sleep", "1000")),
    ]);
    expect(create).toMatchObject({ code: "DEADLINE_EXCEEDED", reason: "RuntimeTimeout", stage: "pause-create", retryable: true });
    expect(create.message).toMatch(/creation within 30000 ms/);
    expect(start).toMatchObject({ code: "DEADLINE_EXCEEDED", reason: "RuntimeTimeout", stage: "pause-start", retryable: true });
    expect(start.message).toMatch(/start did not end within 30000 ms/);
    expect(hostProcesses().filter(({ argv }) => argv.some((word) => word.startsWith(bin)))).toEqual([]);
    expect(node.leftovers()).toEqual([]);
    await works("runc");
  });
});
