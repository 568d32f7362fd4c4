/** The security context, read inside the running containers. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refusalOf } from "../../src/api/client.ts";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { SandboxState, SupplementalGroupsPolicy } from "../../src/gen/berth/v1/sandbox_pb.js";
import { CLASSES, TestNode } from "./node.ts";

let node: TestNode;
let images: string;
let image: string;

beforeAll(async () => {
  node = await TestNode.start();
  images = mkdtempSync("/tmp/bi-");
  const group = "root:x:0:\napp:x:1000:\nextra:x:44:app\n";
  image = busyboxImage(join(images, "suid"), {
    extraFiles: { "setuid/ping": { content: readFileSync("/bin/busybox"), mode: 0o4755 }, "etc/group": group },
  });
});

afterAll(async () => {
  await node[Symbol.asyncDispose]();
  rmSync(images, { recursive: true, force: true });
});

const shell = (script: string): string[] => ["/bin/sh", "-c", script];

/** Busybox keeps the rights of a setuid bit for the few programs that need them: a ping that is root has NET_RAW, which uid 1000 has not. */
const SETUID_PING = shell("/setuid/ping -c 1 127.0.0.1 >/dev/null 2>&1 && echo root || echo user");
const NET_RAW = { capabilities: { add: ["NET_RAW"] } };

describe.each(CLASSES)("under $name", ({ name, adapter, release }) => {
  test("escalation, read-only root, umask, groups and host name are what was asked for", async () => {
    const old = release === 2024;
    const { sandbox } = await node.sandboxes.create({
      metadata: { name: `context-${name}` },
      spec: {
        runtimeClassName: name,
        hostname: "ship",
        securityContext: { runAsUser: 1000n, supplementalGroups: [77n, 5n] },
        containers: [
          { name: "held", image, command: SETUID_PING, securityContext: { ...NET_RAW, allowPrivilegeEscalation: false } },
          { name: "free", image, command: SETUID_PING, securityContext: { ...NET_RAW, allowPrivilegeEscalation: true } },
          {
            name: "readonly",
            image,
            command: shell("touch /x 2>&1; touch /bin/x 2>&1; touch /dev/shm/x && echo shm"),
            securityContext: { runAsUser: 0n, readOnlyRootFilesystem: true },
          },
          { name: "writable", image, command: shell("touch /tmp/x && echo written"), securityContext: { readOnlyRootFilesystem: false } },
          { name: "mask", image, command: shell("umask"), securityContext: { umask: 0o27 } },
          { name: "groups", image, command: shell("id -u; id -g; id -G; hostname") },
          { name: "own", image, command: shell("id -u; id -g; id -G"), securityContext: { runAsUser: 0n, runAsGroup: 9n } },
        ],
      },
    });
    const id = sandbox?.metadata?.id ?? "";
    const ended = await node.until(id, ({ status }) => status?.state === SandboxState.COMPLETED);
    const enforced = (container: string, property: string) =>
      ended.status?.enforcement.find((entry) => entry.container === container && entry.property === `securityContext.${property}`)
        ?.enforced;

    expect(await node.output(id, "held")).toBe("user\n");
    expect(enforced("held", "allowPrivilegeEscalation")).toBe(true);
    expect(await node.output(id, "free")).toBe(old ? "user\n" : "root\n");
    expect(enforced("free", "allowPrivilegeEscalation")).toBe(!old);
    const readonly = await node.output(id, "readonly");
    expect(readonly).toBe("touch: /x: Read-only file system\ntouch: /bin/x: Read-only file system\nshm\n");
    expect(await node.output(id, "writable")).toBe("written\n");
    expect(await node.output(id, "mask")).toBe(old ? "0022\n" : "0027\n");
    expect(enforced("mask", "umask")).toBe(!old);
    expect(await node.output(id, "groups")).toBe("1000\n1000\n1000 5 44 77\nship\n");
    expect(await node.output(id, "own")).toBe("0\n9\n9 5 77\n");
    expect((ended.status?.warnings ?? []).some((warning) => warning.includes("umask"))).toBe(adapter === "runsc" && old);
    await node.sandboxes.delete({ id });
  });

  test("Strict leaves the image's groups out", async () => {
    const { sandbox } = await node.sandboxes.create({
      metadata: { name: `strict-${name}` },
      spec: {
        runtimeClassName: name,
        securityContext: { runAsUser: 1000n, supplementalGroups: [5n], supplementalGroupsPolicy: SupplementalGroupsPolicy.STRICT },
        containers: [{ name: "groups", image, command: shell("id -G") }],
      },
    });
    const id = sandbox?.metadata?.id ?? "";
    await node.until(id, ({ status }) => status?.state === SandboxState.COMPLETED);
    expect(await node.output(id, "groups")).toBe("1000 5\n");
    await node.sandboxes.delete({ id });
  });
});

const LIMITS = "ulimit -Sn; ulimit -Hn; ulimit -Sc";
const rlimits = (files: bigint) => [
  { type: "NOFILE", soft: files, hard: files + 1n },
  { type: "RLIMIT_CORE", soft: 2n ** 64n - 1n, hard: 2n ** 64n - 1n },
];

describe.each(CLASSES)("limits under $name", ({ name, adapter }) => {
  test("a container has what it asks for, and so have its children", async () => {
    const { sandbox } = await node.sandboxes.create({
      metadata: { name: `limits-${name}` },
      spec: {
        runtimeClassName: name,
        containers: [{ name: "a", image, command: shell(`${LIMITS}; /bin/sh -c "${LIMITS}"`), rlimits: rlimits(100n) }],
      },
    });
    const id = sandbox?.metadata?.id ?? "";
    const ended = await node.until(id, ({ status }) => status?.state === SandboxState.COMPLETED);
    expect(await node.output(id, "a")).toBe("100\n101\nunlimited\n".repeat(2));
    expect(ended.status?.enforcement.map(({ property, enforced }) => [property, enforced])).toEqual([
      ["rlimits[0]", true],
      ["rlimits[1]", true],
    ]);
    await node.sandboxes.delete({ id });
  });

  test("beside others it keeps them, but under runsc, where the last to start decides for all, as the report says", async () => {
    // The first one looks when the last one, which is running then, has called.
    const first = shell("nc -l -p 7 >/dev/null; ulimit -Sn");
    const last = shell("ulimit -Sn; until nc 127.0.0.1 7 </dev/null; do sleep 0.05; done");
    const { sandbox } = await node.sandboxes.create({
      metadata: { name: `beside-${name}` },
      spec: {
        runtimeClassName: name,
        containers: [
          { name: "first", image, command: first, rlimits: rlimits(100n) },
          { name: "last", image, command: last, rlimits: rlimits(200n) },
        ],
      },
    });
    const id = sandbox?.metadata?.id ?? "";
    const ended = await node.until(id, ({ status }) => status?.state === SandboxState.COMPLETED);
    const own = adapter !== "runsc";
    expect(await node.output(id, "first")).toBe(own ? "100\n" : "200\n");
    expect(await node.output(id, "last")).toBe("200\n");
    const files = ended.status?.enforcement.filter(({ requested }) => requested.startsWith("RLIMIT_NOFILE"));
    expect(files?.map(({ container, enforced }) => [container, enforced])).toEqual([
      ["first", own],
      ["last", own],
    ]);
    await node.sandboxes.delete({ id });
  });

  test("a hard limit above berthd's own is refused before anything is made, but under runsc, which gives it", async () => {
    const most = 2n ** 31n;
    const call = node.sandboxes.create({
      metadata: { name: `high-${name}` },
      spec: {
        runtimeClassName: name,
        containers: [{ name: "a", image, command: shell("ulimit -Hn"), rlimits: [{ type: "NOFILE", soft: 5n, hard: most }] }],
      },
    });
    if (adapter === "runsc") {
      const id = (await call).sandbox?.metadata?.id ?? "";
      await node.until(id, ({ status }) => status?.state === SandboxState.COMPLETED);
      expect(await node.output(id, "a")).toBe(`${most}\n`);
      await node.sandboxes.delete({ id });
      return;
    }
    const refusal = refusalOf(await call.catch((error: unknown) => error));
    expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable" });
    expect(refusal?.violations).toMatchObject([
      { field: "spec.containers[0].rlimits[0].hard", value: String(most), allowed: expect.stringMatching(/^at most \d+; /) },
    ]);
    expect(node.leftovers()).toEqual([]);
  });
});

test("runAsNonRoot refuses root and a user that the image gives by name, before anything is left", async () => {
  const named = busyboxImage(join(images, "named"), { config: { User: "app" } });
  for (const reference of [image, named]) {
    const call = node.sandboxes.create({
      metadata: { name: "nonroot" },
      spec: { securityContext: { runAsNonRoot: true }, containers: [{ name: "a", image: reference, command: shell("id -u") }] },
    });
    const refusal = refusalOf(await call.catch((error: unknown) => error));
    expect(refusal?.code).toBe("INVALID_ARGUMENT");
    expect(refusal?.violations.map(({ field }) => field)).toEqual(["spec.securityContext.runAsNonRoot"]);
  }
  expect(node.leftovers()).toEqual([]);
});

test("requireEnforcement refuses what would only be reported, and names it", async () => {
  const call = node.sandboxes.create({
    metadata: { name: "strict" },
    spec: {
      runtimeClassName: "runc",
      requireEnforcement: true,
      containers: [{ name: "a", image, command: shell("id"), securityContext: { runAsUser: 1000n, capabilities: { add: ["NET_ADMIN"] } } }],
    },
  });
  const refusal = refusalOf(await call.catch((error: unknown) => error));
  expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable" });
  expect(refusal?.violations).toMatchObject([{ field: "spec.containers[0].securityContext.capabilities.add", value: "CAP_NET_ADMIN" }]);
  expect(node.leftovers()).toEqual([]);
});
