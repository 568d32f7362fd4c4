/** What of the security context the matrix does not have: the host name, limits, and what is refused. */

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refusalOf } from "../../src/api/client.ts";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { SandboxState } from "../../src/gen/berth/v1/sandbox_pb.js";
import { CLASSES, TestNode, WIDE_POLICY } from "./node.ts";
import { endNode, TestSandbox } from "./support/sandbox.ts";

let node: TestNode;
let image: string;

beforeAll(async () => {
  node = await TestNode.start({ policy: WIDE_POLICY });
  image = node.image;
});

afterAll(async () => await endNode(node));

const shell = (script: string): string[] => ["/bin/sh", "-c", script];

test.each(CLASSES)("the host name under $name is what was asked for", async ({ name }) => {
  await using sandbox = await TestSandbox.create(node, "named", {
    runtimeClassName: name,
    hostname: "ship",
    containers: [{ name: "app", image, command: shell("hostname") }],
  });
  await sandbox.completed();
  expect(await sandbox.output("app")).toBe("ship\n");
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
  const named = busyboxImage(join(node.dir, "named"), { config: { User: "app" } });
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
