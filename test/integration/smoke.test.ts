import { expect, test } from "vitest";
import { SandboxState } from "../../src/gen/berth/v1/sandbox_pb.js";
import { CLASSES, TestNode } from "./node.ts";

test.each(CLASSES)("a sandbox under $name runs its app, keeps its exit code and output, and leaves nothing behind", async ({ name }) => {
  await using node = await TestNode.start();
  const command = ["/bin/sh", "-c", "echo to-out; echo to-err >&2; exit 7"];
  const { sandbox } = await node.sandboxes.create({
    metadata: { name: "one" },
    spec: { runtimeClassName: name, containers: [{ name: "app", image: node.image, command }] },
  });
  const id = sandbox?.metadata?.id ?? "";
  const ended = await node.until(id, ({ status }) => status?.state === SandboxState.COMPLETED);
  expect(ended.status?.containers[0]?.exitCode).toBe(7);
  expect(await node.output(id, "app")).toBe("to-out\n");
  expect((await node.sandboxes.delete({ id })).existed).toBe(true);
  expect(node.leftovers()).toEqual([]);
});
