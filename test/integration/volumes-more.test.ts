/** Host aliases, read inside the running containers. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLASSES, TestNode } from "./node.ts";
import { Report, script } from "./support/report.ts";
import { endNode, type SpecInit, TestSandbox } from "./support/sandbox.ts";

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start();
});

afterAll(async () => await endNode(node));

describe.each(CLASSES)("under $name", ({ name }) => {
  const create = (sandbox: string, spec: SpecInit): Promise<TestSandbox> =>
    TestSandbox.create(node, `${sandbox}-${name}`, { runtimeClassName: name, ...spec });

  test("hostAliases: every app reads them in /etc/hosts as any user, also in a volume at /etc; none can write there", async () => {
    const command = script(["try read cat /etc/hosts", "try resolve ping -c1 -W1 alias.example", "try write sh -c 'echo >>/etc/hosts'"]);
    const at = (volume: string) => [{ name: volume, mountPath: "/etc" }];
    await using sandbox = await create("aliases", {
      hostname: "ship",
      hostAliases: [{ ip: "127.0.0.7", hostnames: ["alias", "alias.example"] }],
      volumes: [
        { name: "disk", source: { case: "emptyDir", value: {} } },
        { name: "memory", source: { case: "emptyDir", value: { medium: 1 } } },
        { name: "own", source: { case: "tmpfs", value: {} } },
      ],
      containers: [
        { name: "root", image: node.image, command },
        { name: "user", image: node.image, command, securityContext: { runAsUser: 1000n, readOnlyRootFilesystem: true } },
        { name: "disk", image: node.image, command, volumeMounts: at("disk") },
        { name: "memory", image: node.image, command, volumeMounts: at("memory") },
        { name: "own", image: node.image, command, volumeMounts: at("own") },
      ],
    });
    await sandbox.completed();
    for (const container of ["root", "user", "disk", "memory", "own"]) {
      const report = new Report(await sandbox.output(container));
      expect(report.text("read")).toMatch(/ 127\.0\.0\.1 ship # From hostAliases\. 127\.0\.0\.7 alias alias\.example$/);
      // Busybox says the address before it needs a right that these have not.
      expect(report.of("resolve").text).toMatch(/^PING alias\.example \(127\.0\.0\.7\)/);
      const denied = container === "user" ? /Permission denied|Read-only file system/ : /Read-only file system/;
      expect(report.of("write")).toEqual({ ok: false, text: expect.stringMatching(denied) as string });
    }
  });
});
