/** Volumes, read and written inside the running containers. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { RecursiveReadOnly, SandboxState, StorageMedium } from "../../src/gen/berth/v1/sandbox_pb.js";
import { listMounts } from "../../src/host/mounts.ts";
import { CLASSES, TestNode } from "./node.ts";
import { Report, script } from "./support/report.ts";
import { endNode, type SpecInit, TestSandbox } from "./support/sandbox.ts";

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start();
});

afterAll(async () => await endNode(node));

const disk = (name: string, sizeLimit = "") => ({ name, source: { case: "emptyDir" as const, value: { sizeLimit } } });
const memory = (name: string, sizeLimit = "") => ({
  name,
  source: { case: "emptyDir" as const, value: { medium: StorageMedium.MEMORY, sizeLimit } },
});

/** Waits for a file without a child for each look. */
const WAIT = `wait_for() { i=0; while [ ! -e "$1" ] && [ $i -lt 200 ]; do usleep 50000; i=$((i+1)); done; [ -e "$1" ]; }`;

describe.each(CLASSES)("under $name", ({ name, adapter }) => {
  const create = (sandbox: string, spec: SpecInit): Promise<TestSandbox> =>
    TestSandbox.create(node, `${sandbox}-${name}`, { runtimeClassName: name, ...spec });

  test("containers see each other's writes at once, on disk and in memory, as any user; read-only is EROFS", async () => {
    const mounts = (readOnly: boolean) => [
      { name: "disk", mountPath: "/data/disk", readOnly },
      { name: "memory", mountPath: "/data/disk-like/memory", readOnly },
      { name: "shared", mountPath: "/shared" },
    ];
    const securityContext = { runAsUser: 1000n };
    await using sandbox = await create("shared", {
      volumes: [disk("disk"), memory("memory"), disk("shared")],
      containers: [
        {
          name: "writer",
          image: node.image,
          securityContext,
          volumeMounts: mounts(false),
          command: script([
            WAIT,
            "for dir in /data/disk /data/disk-like/memory; do",
            '  try mode$dir stat -c %a:%u $dir; try write$dir sh -c "echo first >$dir/file"',
            "done",
            "echo >/shared/written; wait_for /shared/read",
            "for dir in /data/disk /data/disk-like/memory; do echo second >>$dir/file; done; echo >/shared/appended",
            "wait_for /shared/done",
          ]),
        },
        {
          name: "reader",
          image: node.image,
          volumeMounts: mounts(true),
          command: script([
            WAIT,
            "wait_for /shared/written",
            "for dir in /data/disk /data/disk-like/memory; do try first$dir cat $dir/file; done",
            "echo >/shared/read; wait_for /shared/appended",
            "for dir in /data/disk /data/disk-like/memory; do",
            "  try second$dir cat $dir/file; try readonly$dir touch $dir/new; try owner$dir stat -c %u $dir/file",
            "done",
            "echo >/shared/done",
          ]),
        },
      ],
    });
    await sandbox.completed();
    const writer = new Report(await sandbox.output("writer"));
    const reader = new Report(await sandbox.output("reader"));
    for (const dir of ["/data/disk", "/data/disk-like/memory"]) {
      expect(writer.text(`mode${dir}`)).toBe("777:0");
      expect(writer.of(`write${dir}`)).toMatchObject({ ok: true });
      expect(reader.text(`first${dir}`)).toBe("first");
      expect(reader.text(`second${dir}`)).toBe("first second");
      expect(reader.text(`owner${dir}`)).toBe("1000");
      expect(reader.of(`readonly${dir}`)).toEqual({ ok: false, text: expect.stringMatching(/Read-only file system$/) as string });
    }
  });

  test("a FIFO in memory joins containers; on disk it does, but for a kernel of its own, which is noted", async () => {
    const volumeMounts = [
      { name: "disk", mountPath: "/disk" },
      { name: "memory", mountPath: "/memory" },
    ];
    await using sandbox = await create("fifo", {
      volumes: [disk("disk"), memory("memory")],
      containers: [
        {
          name: "maker",
          image: node.image,
          volumeMounts,
          command: [
            "/bin/sh",
            "-c",
            "mkfifo /memory/p /disk/p; touch /disk/made; echo through >/memory/p; timeout 1 sh -c 'echo through >/disk/p'",
          ],
        },
        {
          name: "reader",
          image: node.image,
          volumeMounts,
          command: script([WAIT, "wait_for /disk/made", "try memory cat /memory/p", "try disk timeout 1 cat /disk/p"]),
        },
      ],
    });
    await sandbox.completed();
    const report = new Report(await sandbox.output("reader"));
    expect(report.text("memory")).toBe("through");
    expect(report.of("disk").text === "through").toBe(adapter !== "runsc");
    const entry = sandbox.status.enforcement.find(({ property }) => property === "volumes[0].emptyDir");
    expect(entry?.note.includes("FIFO")).toBe(adapter === "runsc");
  });

  test("the limit of a volume in memory and of a tmpfs is ENOSPC, that on disk is reported; a tmpfs is each container's own", async () => {
    const volumeMounts = [
      { name: "memory", mountPath: "/memory" },
      { name: "own", mountPath: "/own" },
      { name: "disk", mountPath: "/disk" },
    ];
    const fill = (dir: string): string => `try ${dir} dd if=/dev/zero of=/${dir}/big bs=64k count=64`;
    await using sandbox = await create("limits", {
      volumes: [
        memory("memory", "1Mi"),
        { name: "own", source: { case: "tmpfs", value: { sizeLimit: "1M", mode: 0o1700 } } },
        disk("disk", "1Mi"),
      ],
      containers: [
        {
          name: "one",
          image: node.image,
          volumeMounts,
          command: script([fill("memory"), "rm /memory/big", fill("own"), fill("disk"), "try mode stat -c %a /own", "touch /disk/filled"]),
        },
        { name: "two", image: node.image, volumeMounts, command: script([WAIT, "wait_for /disk/filled", "try own ls -A /own"]) },
      ],
    });
    await sandbox.completed();
    const one = new Report(await sandbox.output("one"));
    expect(one.of("memory")).toEqual({ ok: false, text: expect.stringContaining("No space left on device") as string });
    expect(one.of("own")).toEqual({ ok: false, text: expect.stringContaining("No space left on device") as string });
    expect(one.of("disk").ok).toBe(true);
    expect(one.text("mode")).toBe("1700");
    expect(new Report(await sandbox.output("two")).text("own")).toBe("");
    const enforced = (property: string) => sandbox.status.enforcement.find((entry) => entry.property === property)?.enforced;
    expect([0, 2].map((index) => enforced(`volumes[${index}].emptyDir.sizeLimit`))).toEqual([true, false]);
    expect(enforced("volumes[1].tmpfs.sizeLimit")).toBe(true);
    expect(sandbox.status.warnings).toEqual([
      expect.stringMatching(/^sandbox: volumes\[2\]\.emptyDir\.sizeLimit 1048576 is not effective: /),
    ]);
  });

  test("a volume over a folder of the image hides it; a volume in a volume is there, under a read-only root too", async () => {
    await using sandbox = await create("nested", {
      volumes: [disk("outer"), memory("inner")],
      containers: [
        {
          name: "app",
          image: node.image,
          securityContext: { readOnlyRootFilesystem: true },
          volumeMounts: [
            { name: "inner", mountPath: "/home/deep/er" },
            { name: "outer", mountPath: "/home" },
          ],
          command: script(["try hidden ls /home", "try inner touch /home/deep/er/x", "try outer touch /home/x", "try root touch /x"]),
        },
      ],
    });
    await sandbox.completed();
    const report = new Report(await sandbox.output("app"));
    expect(report.text("hidden")).toBe("deep");
    expect([report.of("inner").ok, report.of("outer").ok, report.of("root").ok]).toEqual([true, true, false]);
  });

  test("what is read-only is so recursively where it is asked for", async () => {
    await using sandbox = await create("recursive", {
      volumes: [disk("disk")],
      containers: [
        {
          name: "app",
          image: node.image,
          volumeMounts: [{ name: "disk", mountPath: "/data", readOnly: true, recursiveReadOnly: RecursiveReadOnly.ENABLED }],
          command: script(["try write touch /data/x"]),
        },
      ],
    });
    await sandbox.completed();
    expect(new Report(await sandbox.output("app")).of("write").ok).toBe(false);
    expect(sandbox.status.enforcement).toContainEqual(
      expect.objectContaining({ container: "app", property: "volumeMounts[0].recursiveReadOnly", enforced: true }),
    );
  });

  test("a link of the image to outside resolves inside the container, and nothing outside is touched", async () => {
    const outside = mkdtempSync(join(node.dir, "outside-"));
    const image = busyboxImage(join(node.dir, `links-${name}`), {
      extraFiles: {
        absolute: { symlink: outside },
        climbing: { symlink: `../../../../../../../../..${outside}` },
        [`${outside.slice(1)}/inside`]: "of the image",
      },
    });
    await using sandbox = await create("links", {
      volumes: [disk("disk")],
      containers: [
        {
          name: "app",
          image,
          volumeMounts: [
            { name: "disk", mountPath: "/absolute/made" },
            { name: "disk", mountPath: "/climbing/also" },
          ],
          command: script([
            "try write touch /absolute/made/file",
            "try shared ls /climbing/also",
            `try image cat ${outside}/inside`,
            `try at ls ${outside}`,
          ]),
        },
      ],
    });
    await sandbox.completed();
    const report = new Report(await sandbox.output("app"));
    expect(report.of("write").ok).toBe(true);
    expect(["shared", "image", "at"].map((what) => report.text(what))).toEqual(["file", "of the image", "also inside made"]);
    expect(readdirSync(outside)).toEqual([]);
  });

  test.each(["/proc", "/dev/shm", "/", "/nowhere/at/all"])(
    "a link of the image to %s is refused as a mount point, and nothing is left",
    async (target) => {
      const image = busyboxImage(join(node.dir, `link-${name}-${target.replaceAll("/", "_")}`), {
        extraFiles: { data: { symlink: target }, "dev/shm": { directory: true }, proc: { directory: true } },
      });
      const app = { name: "app", image, volumeMounts: [{ name: "disk", mountPath: "/data" }], command: ["/bin/true"] };
      const refusal = await TestSandbox.refused(node, `link-${name}`, {
        runtimeClassName: name,
        volumes: [disk("disk")],
        containers: [app],
      });
      expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", reason: "InvalidRequest", stage: "volumes" });
      expect(refusal.violations).toMatchObject([{ field: "spec.containers[0].volumeMounts[0].mountPath", value: '"/data"' }]);
      expect(node.leftovers()).toEqual([]);
    },
  );

  test("what is on disk is kept over a stop, what is in memory is not; a delete leaves nothing, after a kill -9 too", async () => {
    const sandbox = await create("kept", {
      volumes: [disk("disk"), memory("memory")],
      containers: [
        {
          name: "app",
          image: node.image,
          volumeMounts: [
            { name: "disk", mountPath: "/disk" },
            { name: "memory", mountPath: "/memory" },
          ],
          command: ["/bin/sh", "-c", "echo kept >/disk/file; echo gone >/memory/file; echo written; exec sleep 1000"],
        },
      ],
    });
    await sandbox.told("app", "written");
    await node.endDaemon("SIGKILL");
    await node.startDaemon();
    const folder = join(node.state, "volumes", sandbox.id, "disk");
    expect(statSync(folder).mode & 0o777).toBe(0o777);
    await node.sandboxes.stop({ id: sandbox.id, gracePeriod: { seconds: 0n } });
    await node.until(sandbox.id, ({ status }) => status?.state === SandboxState.STOPPED);
    expect(readdirSync(folder)).toEqual(["file"]);
    expect(listMounts(join(node.run, "v"))).toEqual([]);
    await sandbox.delete();
    expect([existsSync(join(node.state, "volumes", sandbox.id)), existsSync(join(node.run, "v", sandbox.id))]).toEqual([false, false]);
    expect(node.leftovers()).toEqual([]);
  });
});

test.each(["/", "//", "/proc", "/proc/self", "/sys", "/dev/shm", "data", "../data", "/data/../../etc", "/a:b", ""])(
  "a mount at %j is refused with its field, before anything is touched",
  async (mountPath) => {
    const files = (): string => execFileSync("find", [node.state, node.run], { encoding: "utf8" });
    const before = files();
    const app = { name: "app", image: node.image, volumeMounts: [{ name: "disk", mountPath }], command: ["/bin/true"] };
    const refusal = await TestSandbox.refused(node, "bad", { volumes: [disk("disk")], containers: [app] });
    expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", reason: "InvalidRequest", stage: "" });
    expect(new Set(refusal.violations.map(({ field }) => field))).toEqual(new Set(["spec.containers[0].volumeMounts[0].mountPath"]));
    expect(files()).toEqual(before);
  },
);
