/** Host aliases and images as volumes, read inside the running containers. */

import { existsSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeLayout } from "../../src/dev/test-image.ts";
import { listMounts } from "../../src/host/mounts.ts";
import { CLASSES, TestNode } from "./node.ts";
import { Report, script } from "./support/report.ts";
import { answering, endNode, type SpecInit, TestSandbox } from "./support/sandbox.ts";

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

  test.each([1, 3])(
    "an image of %i layers is a volume: its files are there, nobody can write, and a start has the same ones",
    async (count) => {
      const dir = join(node.dir, `model-${count}-${name}`);
      const layers = Array.from({ length: count }, (_, index) => ({
        files: { which: `layer ${index}`, [`own/${index}`]: { content: "x", uid: 1000, mode: 0o640 } },
      }));
      const reference = makeLayout(dir, { layers, tag: "latest" });
      const sandbox = await create(`image-${count}`, {
        volumes: [{ name: "model", source: { case: "image", value: { reference } } }],
        containers: ["one", "two"].map((container) => ({
          name: container,
          image: node.image,
          volumeMounts: [{ name: "model", mountPath: "/deep/model" }],
          command: script([
            "try which cat /deep/model/which",
            "try own ls /deep/model/own",
            "try stat stat -c %a:%u /deep/model/own/0",
            "try write touch /deep/model/new",
            "try remove rm /deep/model/which",
          ]),
        })),
      });
      const expectContents = async (): Promise<void> => {
        for (const container of ["one", "two"]) {
          const report = new Report((await sandbox.output(container)).split("ended\n").at(-2) ?? "");
          expect(report.text("which")).toBe(`layer ${count - 1}`);
          expect(report.text("own")).toBe(layers.map((_, index) => index).join(" "));
          expect(report.text("stat")).toBe("640:1000");
          for (const what of ["write", "remove"])
            expect(report.of(what)).toEqual({ ok: false, text: expect.stringMatching(/Read-only file system$/) as string });
        }
      };
      await sandbox.completed();
      await expectContents();
      expect(sandbox.status.volumes).toMatchObject([
        { name: "model", imageDigest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as string },
      ]);
      expect(listMounts(join(node.run, "v"))).toEqual([]);

      // Another image takes its place in the layout: what was pinned counts.
      renameSync(dir, `${dir}-old`);
      makeLayout(dir, { layers: [{ files: { which: "another" } }], tag: "latest" });
      const { sandbox: again } = await node.sandboxes.start({ id: sandbox.id });
      expect(again?.status?.volumes).toEqual(sandbox.status.volumes);
      await sandbox.completed();
      await expectContents();
      await sandbox.delete();
      expect(existsSync(join(node.run, "v", sandbox.id))).toBe(false);
      expect(node.leftovers()).toEqual([]);
    },
  );
});

const NOTHING = ["/bin/true"];

test("an image that is not there, one without layers, and a mount point that it lacks are refused, and nothing is left", async () => {
  const empty = makeLayout(join(node.dir, "empty"), { layers: [], tag: "latest" });
  const model = makeLayout(join(node.dir, "model"), { layers: [{ files: { "there/file": "" } }], tag: "latest" });
  const refused = (reference: string, inner?: string) =>
    TestSandbox.refused(node, "bad-image", {
      runtimeClassName: "runc",
      volumes: [
        { name: "model", source: { case: "image", value: { reference } } },
        { name: "disk", source: { case: "emptyDir", value: {} } },
      ],
      containers: [
        {
          name: "app",
          image: node.image,
          command: NOTHING,
          volumeMounts: [
            { name: "model", mountPath: "/model" },
            ...(inner === undefined ? [] : [{ name: "disk", mountPath: `/model/${inner}` }]),
          ],
        },
      ],
    });
  expect(await refused(`oci:${node.dir}/nowhere`)).toMatchObject({
    stage: "image",
    message: expect.stringContaining("spec.volumes[0].image") as string,
  });
  expect(await refused(empty)).toMatchObject({ reason: "ImageInvalid", message: expect.stringContaining("has no layers") as string });
  const lacking = await refused(model, "lacking");
  expect(lacking.violations).toMatchObject([{ field: "spec.containers[0].volumeMounts[1].mountPath", value: '"/model/lacking"' }]);
  expect(node.leftovers()).toEqual([]);
});

test("a create that a kill -9 of berthd cut off leaves no mount of an image", async () => {
  const reference = makeLayout(join(node.dir, "killed"), { layers: [{ files: { a: "" } }], tag: "latest" });
  node.fault("kill create/volumes/after");
  const answer = TestSandbox.create(node, "killed", {
    runtimeClassName: "runc",
    volumes: [{ name: "model", source: { case: "image", value: { reference } } }],
    containers: [
      { name: "app", image: node.image, command: ["/bin/sleep", "1000"], volumeMounts: [{ name: "model", mountPath: "/model" }] },
    ],
  }).catch(() => undefined);
  await node.died();
  await answer;
  expect(listMounts(join(node.run, "v"))).toHaveLength(1);
  node.fault();
  await node.startDaemon();
  await answering(node);
  // Nobody was answered, so it is undone.
  await expect.poll(async () => (await node.sandboxes.list({})).sandboxes, { timeout: 20_000 }).toEqual([]);
  expect(existsSync(join(node.run, "v")) ? readdirSync(join(node.run, "v")) : []).toEqual([]);
  expect(node.leftovers()).toEqual([]);
});
