/** Paths of the node, read and written inside the running containers. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MountPropagation, SandboxState } from "../../src/gen/berth/v1/sandbox_pb.js";
import { bindMount, mountTmpfs, unmount } from "../../src/host/mounts.ts";
import { mount } from "../../src/host/libc.ts";
import { CLASSES, TestNode } from "./node.ts";
import { Report, script } from "./support/report.ts";
import { endNode, type SpecInit, TestSandbox } from "./support/sandbox.ts";

const MS_REC = 0x4000;
const MS_SHARED = 0x100000;

let node: TestNode;
let host: string;

beforeAll(async () => {
  host = mkdtempSync("/tmp/berth-host-");
  for (const name of ["rw", "ro", "shared", "outside"]) mkdirSync(join(host, name));
  node = await TestNode.start({
    policy: {
      limits: {
        volumes: ["emptyDir", "hostPath"],
        hostPaths: [{ path: join(host, "rw") }, { path: join(host, "ro"), readOnly: true }, { path: join(host, "shared") }],
        privileged: true,
      },
    },
  });
});

afterAll(async () => {
  try {
    await endNode(node);
  } finally {
    rmSync(host, { recursive: true, force: true });
  }
});

const volume = (path: string, type = "") => ({ name: "host", source: { case: "hostPath" as const, value: { path, type } } });
/** Whether a privileged container can be had here: berthd has every capability that it gives. */
const givesAll = (): boolean => /^CapBnd:\s*0*1ffffffffff$/m.test(readFileSync("/proc/self/status", "utf8"));
const WAIT = `wait_for() { i=0; while [ ! -e "$1" ] && [ $i -lt 200 ]; do usleep 50000; i=$((i+1)); done; [ -e "$1" ]; }`;

describe.each(CLASSES)("under $name", ({ name, adapter }) => {
  const app = (lines: readonly string[], more: object = {}, ofMount: object = {}) => ({
    name: "app",
    image: node.image,
    volumeMounts: [{ name: "host", mountPath: "/host", ...ofMount }],
    command: script(lines),
    ...more,
  });
  const create = (sandbox: string, spec: SpecInit): Promise<TestSandbox> =>
    TestSandbox.create(node, `${sandbox}-${name}`, { runtimeClassName: name, ...spec });
  const refused = (sandbox: string, spec: SpecInit) => TestSandbox.refused(node, `${sandbox}-${name}`, { runtimeClassName: name, ...spec });

  test("a folder is read and written, with the rights of the node; all stays when the sandbox is deleted", async () => {
    const folder = join(host, "rw", name);
    mkdirSync(folder);
    writeFileSync(join(folder, "there"), "of the node");
    const sandbox = await create("rw", {
      volumes: [volume(folder, "Directory")],
      containers: [app(["try read cat /host/there", "try write sh -c 'echo of the container >/host/new'"])],
    });
    await sandbox.completed();
    const report = new Report(await sandbox.output("app"));
    expect([report.text("read"), report.of("write").ok]).toEqual(["of the node", true]);
    await sandbox.delete();
    expect(readdirSync(folder).toSorted()).toEqual(["new", "there"]);
    expect(readFileSync(join(folder, "new"), "utf8")).toBe("of the container\n");
    expect(node.leftovers()).toEqual([]);
  });

  test("a read-only folder and a read-only file are read; writing is EROFS", async () => {
    const file = join(host, "ro", `file-${name}`);
    writeFileSync(file, "of the node");
    await using sandbox = await create("ro", {
      volumes: [volume(join(host, "ro")), { ...volume(file, "File"), name: "file" }],
      containers: [
        app(
          [
            `try read cat /host/file-${name}`,
            "try write touch /host/new",
            "try file cat /etc/node",
            "try append sh -c 'echo x >>/etc/node'",
          ],
          {
            volumeMounts: [
              { name: "host", mountPath: "/host", readOnly: true },
              { name: "file", mountPath: "/etc/node", readOnly: true },
            ],
          },
        ),
      ],
    });
    await sandbox.completed();
    const report = new Report(await sandbox.output("app"));
    expect([report.text("read"), report.text("file")]).toEqual(["of the node", "of the node"]);
    for (const what of ["write", "append"])
      expect(report.of(what)).toEqual({ ok: false, text: expect.stringMatching(/Read-only file system$/) as string });
    expect(readFileSync(file, "utf8")).toBe("of the node");
  });

  test("a read-only path that is mounted writable, a path beside the allowed, and a link to outside are refused; nothing is left", async () => {
    const link = join(host, "rw", `link-${name}`);
    symlinkSync(join(host, "outside"), link);
    const of = (path: string) => refused("refused", { volumes: [volume(path)], containers: [app([])] });
    const path = "spec.volumes[0].hostPath.path";
    expect(await of(join(host, "ro"))).toMatchObject({
      reason: "PolicyRefused",
      violations: [{ field: "spec.containers[0].volumeMounts[0].readOnly" }],
    });
    expect(await of(join(host, "outside"))).toMatchObject({ reason: "PolicyRefused", violations: [{ field: path }] });
    expect(await of(link)).toMatchObject({
      reason: "PolicyRefused",
      violations: [{ field: path, value: JSON.stringify(join(host, "outside")) }],
    });
    expect(await of(join(host, "rw", "missing"))).toMatchObject({ reason: "NotEnforceable", violations: [{ field: path }] });
    expect(existsSync(join(host, "rw", "missing"))).toBe(false);
    expect(readdirSync(join(host, "outside"))).toEqual([]);
    expect(node.leftovers()).toEqual([]);
  });

  test.runIf(adapter === "runsc")("propagation is refused by field", async () => {
    for (const mountPropagation of [MountPropagation.HOST_TO_CONTAINER, MountPropagation.BIDIRECTIONAL]) {
      const privileged = { securityContext: { privileged: true } };
      const spec = { volumes: [volume(join(host, "rw"))], containers: [app([], privileged, { mountPropagation })] };
      expect(await refused("propagation", spec)).toMatchObject({
        reason: "NotEnforceable",
        violations: [{ field: "spec.containers[0].volumeMounts[0].mountPropagation" }],
      });
    }
  });

  describe.runIf(adapter !== "runsc")("mounts that are made later", () => {
    /** A shared mount of the test's own. */
    const sharedFolder = (): { path: string } & Disposable => {
      const path = mkdtempSync(join(host, "shared", `${name}-`));
      bindMount(path, path);
      mount("none", path, null, MS_SHARED | MS_REC, null);
      mkdirSync(join(path, "later"));
      return {
        path,
        [Symbol.dispose]: () => {
          unmount(join(path, "later"));
          unmount(path);
        },
      };
    };

    test.each([
      [MountPropagation.NONE, "absent"],
      [MountPropagation.HOST_TO_CONTAINER, "present"],
    ])("on the node, with propagation %i, are %s in the container", async (mountPropagation, seen) => {
      using shared = sharedFolder();
      await using sandbox = await create(`later-${mountPropagation}`, {
        volumes: [volume(shared.path)],
        containers: [
          app(
            [WAIT, "echo started", "wait_for /host/mounted", "test -e /host/later/file && echo present || echo absent", "exec sleep 1000"],
            {},
            { mountPropagation },
          ),
        ],
      });
      await sandbox.told("app", "started");
      mountTmpfs(join(shared.path, "later"), []);
      writeFileSync(join(shared.path, "later", "file"), "");
      writeFileSync(join(shared.path, "mounted"), "");
      expect(await sandbox.told("app", seen)).toContain(seen);
    });

    test.runIf(adapter === "runc" && givesAll())("in a privileged container, bidirectionally, are there on the node", async () => {
      using shared = sharedFolder();
      await using sandbox = await create("both", {
        volumes: [volume(shared.path)],
        containers: [
          app(
            ["mount -t tmpfs tmpfs /host/later && touch /host/later/inner; echo mounted", "exec sleep 1000"],
            { securityContext: { privileged: true } },
            { mountPropagation: MountPropagation.BIDIRECTIONAL },
          ),
        ],
      });
      await sandbox.told("app", "mounted");
      expect(readdirSync(join(shared.path, "later"))).toEqual(["inner"]);
    });

    test("in a private mount, and bidirectionally without privileged, are refused by field", async () => {
      using shared = sharedFolder();
      mount("none", shared.path, null, 0x40000, null);
      const of = (mountPropagation: MountPropagation) =>
        refused("private", { volumes: [volume(shared.path)], containers: [app([], {}, { mountPropagation })] });
      for (const mountPropagation of [MountPropagation.HOST_TO_CONTAINER, MountPropagation.BIDIRECTIONAL])
        expect(await of(mountPropagation)).toMatchObject({
          reason: "NotEnforceable",
          violations: [{ field: "spec.containers[0].volumeMounts[0].mountPropagation" }],
        });
    });

    test("a socket of the node is there", async () => {
      const path = join(host, "rw", `socket-${name}`);
      const server = createServer((socket) => socket.end("of the node\n")).listen(path);
      try {
        await using sandbox = await create("socket", {
          volumes: [volume(path, "Socket")],
          containers: [app(["try socket test -S /host"])],
        });
        await node.until(sandbox.id, ({ status }) => status?.state === SandboxState.COMPLETED);
        expect(new Report(await sandbox.output("app")).of("socket").ok).toBe(true);
      } finally {
        server.close();
      }
    });
  });
});

test.each(CLASSES)("without a policy a host path is refused under $name, and nothing is left", async ({ name }) => {
  await using plain = await TestNode.start();
  const spec = {
    runtimeClassName: name,
    volumes: [volume("/srv")],
    containers: [{ name: "app", image: plain.image, command: ["/bin/true"] }],
  };
  const refusal = await TestSandbox.refused(plain, "plain", spec);
  expect(refusal).toMatchObject({ reason: "PolicyRefused", code: "PERMISSION_DENIED" });
  expect(refusal.violations.map(({ field }) => field)).toEqual(["spec.volumes[0].hostPath", "spec.volumes[0].hostPath.path"]);
  expect(plain.leftovers()).toEqual([]);
});
