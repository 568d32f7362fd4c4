/** policy.yaml on a node: what it refuses before anything is touched, what it allows and adds, read inside, and reading it again. */

import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { deleteAll, refusalFrom, waitFor } from "./life-support/support.ts";
import { CLASSES, TestNode } from "./node.ts";
import { defaultAnd, NO_CAPABILITIES } from "./support/capabilities.ts";
import { endNode, TestSandbox } from "./support/sandbox.ts";

let node: TestNode;
/** Images whose USER is app (1000) and, by number, 65534. */
let appImage: string;
let nobodyImage: string;

beforeAll(async () => {
  node = await TestNode.start();
  appImage = busyboxImage(join(node.dir, "app"), { config: { User: "app", Cmd: ["/bin/id"] } });
  nobodyImage = busyboxImage(join(node.dir, "nobody"), { config: { User: "65534:65534", Cmd: ["/bin/id"] } });
});
afterEach(async () => {
  await deleteAll(node);
  const left = node.leftovers();
  if (left.length > 0) throw new Error(`left behind:\n${left.join("\n")}`);
});
afterAll(async () => await endNode(node));

const logged = (): string => readFileSync(node.logFile, "utf8");

/** Gives berthd this file and waits until it has looked at it. */
async function reload(policy: object | string): Promise<string> {
  const before = logged().length;
  if (typeof policy === "string") writeFileSync(node.policyFile, policy);
  else node.writePolicy(policy);
  process.kill(node.pid, "SIGHUP");
  return await waitFor("the policy being read", () => {
    const lines = logged().slice(before);
    return /the policy was read again|the policy stays as it was/.test(lines) && lines;
  });
}

const spec = (runtimeClassName: string, add: readonly string[] = [], command = "grep CapEff /proc/self/status") => ({
  runtimeClassName,
  containers: [
    { name: "app", image: node.image, command: ["/bin/sh", "-c", command], securityContext: { capabilities: { add: [...add] } } },
  ],
});

/** Files of the journal's folder and of RUN: what a create touches first. */
const touched = (): string[] =>
  ["run/s", "run/ns", "state/bundles", "state/containers", "state/images/layers"].flatMap((name) => {
    const dir = join(node.dir, name);
    return existsSync(dir) ? readdirSync(dir) : [];
  });

async function output(sandbox: TestSandbox): Promise<string> {
  await sandbox.completed();
  return await node.output(sandbox.id, "app");
}

describe.each(CLASSES.filter(({ adapter }) => adapter !== "runsc"))("$name", ({ name }) => {
  test("NET_ADMIN is refused by itself with nothing touched, and given when policy allows it to this class", async () => {
    await reload({});
    const before = touched();
    const refusal = await TestSandbox.refused(node, "strong", spec(name, ["CHOWN", "NET_ADMIN"]));
    expect(refusal).toMatchObject({
      code: "PERMISSION_DENIED",
      reason: "PolicyRefused",
      violations: [
        {
          field: "spec.containers[0].securityContext.capabilities.add[1]",
          rule: "is more than the node allows (built-in limits.capabilities)",
          value: '"NET_ADMIN"',
          allowed: expect.stringContaining("SYS_CHROOT") as string,
        },
      ],
    });
    expect(touched()).toEqual(before);
    expect((await node.sandboxes.list({})).sandboxes).toEqual([]);

    await reload({ runtimeClasses: { [name]: { capabilities: ["NET_ADMIN"] } } });
    await using sandbox = await TestSandbox.create(node, "strong", spec(name, ["NET_ADMIN"]));
    expect(await output(sandbox)).toBe(`CapEff:\t${defaultAnd("NET_ADMIN")}\n`);
    const chown = await TestSandbox.refused(node, "other", spec(name, ["CHOWN"]));
    expect(chown.violations).toMatchObject([
      { rule: expect.stringContaining(`policy.yaml:1 runtimeClasses.${name}.capabilities`) as string },
    ]);
  });
});

test("runsc gives any capability by itself, and seccomp Unconfined that is asked for needs policy there too", async () => {
  await reload({});
  await using sandbox = await TestSandbox.create(node, "any", spec("runsc", ["NET_ADMIN"]));
  expect(await output(sandbox)).toBe(`CapEff:\t${defaultAnd("NET_ADMIN")}\n`);
  const unconfined = { ...spec("runsc"), securityContext: { seccompProfile: { type: 3 } } };
  expect(await TestSandbox.refused(node, "free", unconfined)).toMatchObject({
    code: "PERMISSION_DENIED",
    violations: [{ field: "spec.securityContext.seccompProfile", value: '"Unconfined"' }],
  });
});

describe.each(CLASSES)("$name", ({ name: runtimeClassName }) => {
  test("the image's user is held against the limits before anything is made", async () => {
    await reload({ limits: { userIds: [{ min: 1000, max: 1999 }], groupIds: [{ min: 1000, max: 1999 }] } });
    const of = (image: string) => ({ runtimeClassName, containers: [{ name: "app", image }] });
    const before = touched();
    expect(await TestSandbox.refused(node, "nobody", of(nobodyImage))).toMatchObject({
      code: "PERMISSION_DENIED",
      stage: "policy",
      violations: [
        {
          field: "spec.containers[0].securityContext.runAsUser",
          rule: expect.stringContaining("the image's user") as string,
          value: "65534",
        },
        { field: "spec.containers[0].securityContext.runAsGroup", value: "65534", allowed: "1000 to 1999" },
      ],
    });
    expect(touched()).toEqual(before);
    await using sandbox = await TestSandbox.create(node, "app", of(appImage));
    expect(await output(sandbox)).toMatch(/^uid=1000\(app\) gid=1000\(app\)/);
  });

  test("a default holds inside, Render shows its line, and a repeat joins whatever the policy has become", async () => {
    await reload({ defaults: { runAsUser: 1000, runAsNonRoot: true, capabilities: { drop: ["ALL"] } } });
    const wish = spec(runtimeClassName, [], "id -u; grep CapBnd /proc/self/status");
    await using sandbox = await TestSandbox.create(node, "plain", wish);
    expect(await output(sandbox)).toBe(`1000\nCapBnd:\t${NO_CAPABILITIES}\n`);
    const { bundles } = await node.sandboxes.render({ metadata: { name: "plain" }, spec: wish });
    const uid = bundles[1]?.provenance.find(({ pointer }) => pointer === "/process/user/uid");
    expect(uid?.source).toBe("policy.yaml:1 defaults.runAsUser");

    await reload({ limits: { runtimeClasses: [] } });
    expect((await TestSandbox.create(node, "plain", wish)).id).toBe(sandbox.id);
    expect((await TestSandbox.refused(node, "another", wish)).violations).toMatchObject([{ field: "spec.runtimeClassName" }]);
    const render = await refusalFrom(node.sandboxes.render({ metadata: { name: "another" }, spec: wish }));
    expect(render).toMatchObject({ code: "PERMISSION_DENIED", reason: "PolicyRefused" });
  });
});

test("a wrong file keeps what held, and the log names every wrong field", async () => {
  await reload({ limits: { capabilities: ["NET_ADMIN"] } });
  const lines = await reload("limits: {capabilities: [FLY], userIds: [{min: 2, max: 1}]}\n");
  expect(lines).toContain("the policy stays as it was");
  expect(lines).toContain("limits.capabilities[0]");
  expect(lines).toContain("limits.userIds[0]");
  await using sandbox = await TestSandbox.create(node, "kept", spec("runc", ["NET_ADMIN"]));
  expect(await output(sandbox)).toBe(`CapEff:\t${defaultAnd("NET_ADMIN")}\n`);
  expect(await reload({})).toContain("the policy was read again");
  await TestSandbox.refused(node, "refused", spec("runc", ["NET_ADMIN"]));
});

test("berthd does not start with a wrong file, and says what is wrong", async () => {
  await node.endDaemon("SIGTERM");
  try {
    node.writePolicy({ level: "none", defaults: { runAsUser: -1 } });
    await expect(node.startDaemon()).rejects.toThrow(
      /the policy .*policy\.yaml is refused: .*line 1: level: .*line 1: defaults\.runAsUser: /,
    );
  } finally {
    node.writePolicy({});
    await node.startDaemon();
  }
});

test("berth render knows the policy that it is given, and no other", async () => {
  await reload({ limits: { capabilities: [] } });
  const file = join(node.dir, "wide.yaml");
  const document = { apiVersion: "berth/v1", kind: "Sandbox", metadata: { name: "wide" }, spec: spec("runc", ["NET_ADMIN"]) };
  writeFileSync(file, JSON.stringify(document));
  expect((await node.berth("render", "-f", file)).exitCode).toBe(0);
  const { exitCode, stdout } = await node.berth("render", "-f", file, "--policy", node.policyFile, "-o", "json");
  expect({ exitCode, ...(JSON.parse(stdout) as object) }).toMatchObject({
    exitCode: 1,
    code: "PERMISSION_DENIED",
    reason: "PolicyRefused",
  });
  const run = await node.berth("run", "-f", file);
  expect(run.exitCode).toBe(1);
  expect(run.stderr).toContain("berth: refused by policy\n  spec.containers[0].securityContext.capabilities.add[0]: ");
});

test.each(CLASSES)("a node that gives the capabilities of container engines: they are in force under $name, and told", async ({ name }) => {
  await using generous = await TestNode.start({ config: { defaultCapabilities: "kubernetes" } });
  const container = { name: "app", image: generous.image, command: ["/bin/grep", "CapEff", "/proc/self/status"] };
  const sandbox = await TestSandbox.create(generous, "plain", { runtimeClassName: name, containers: [container] });
  await sandbox.completed();
  // The default of Docker and containerd, as every host with them shows it.
  expect(await generous.output(sandbox.id, "app")).toBe("CapEff:\t00000000a80425fb\n");
  expect(sandbox.status.enforcement).toMatchObject([{ property: "securityContext.capabilities", enforced: true }]);
  await generous.sandboxes.delete({ id: sandbox.id });
  expect(generous.leftovers()).toEqual([]);
});
