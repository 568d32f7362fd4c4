/** What of the security context the matrix does not have: the host name and what is refused. */

import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { refusalOf } from "../../src/api/client.ts";
import { busyboxImage } from "../../src/dev/test-image.ts";
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
