import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { resolveImage } from "../../src/image/layout.ts";
import { readUserDatabase, readUserDatabaseOfLayout } from "../../src/image/users.ts";
import { busyboxImage, makeLayout, makeTar } from "../support/layout.ts";
import type { LayerSource } from "../support/layout.ts";
import { makeScratch } from "../support/scratch.ts";

function rootIn(scratch: string): string {
  mkdirSync(join(scratch, "etc"));
  return scratch;
}

async function ofLayers(scratch: string, ...layers: LayerSource[]): Promise<object> {
  return readUserDatabaseOfLayout(await resolveImage(makeLayout(join(scratch, `image-${Math.random()}`), { layers })));
}

test("both files are read from a root, and one that is not there is absent", () => {
  using scratch = makeScratch();
  const root = rootIn(scratch.path);
  expect(readUserDatabase(root)).toEqual({});
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0::/:\n");
  expect(readUserDatabase(root)).toEqual({ passwd: "root:x:0:0::/:\n" });
  writeFileSync(join(root, "etc/group"), "root:x:0:\n");
  expect(readUserDatabase(root)).toEqual({ passwd: "root:x:0:0::/:\n", group: "root:x:0:\n" });
});

test("a passwd that is a link to the host's /etc/shadow reads the root's own", () => {
  using scratch = makeScratch();
  const root = rootIn(scratch.path);
  symlinkSync("/etc/shadow", join(root, "etc/passwd"));
  symlinkSync("../../../../../../etc/shadow", join(root, "etc/group"));
  expect(readUserDatabase(root)).toEqual({});
  writeFileSync(join(root, "etc/shadow"), "inside");
  expect(readUserDatabase(root)).toEqual({ passwd: "inside", group: "inside" });
});

test("a passwd of 11 MiB is refused with its size", () => {
  using scratch = makeScratch();
  const file = join(rootIn(scratch.path), "etc/passwd");
  writeFileSync(file, "");
  truncateSync(file, 11 * 1024 * 1024);
  expect(() => readUserDatabase(scratch.path)).toThrow(/etc\/passwd has 11534336 bytes, more than 10485760/);
});

test("a passwd that is a fifo is refused at once", () => {
  using scratch = makeScratch();
  execFileSync("mkfifo", [join(rootIn(scratch.path), "etc/passwd")]);
  const started = performance.now();
  expect(() => readUserDatabase(scratch.path)).toThrow(expect.objectContaining({ reason: "ImageInvalid" }));
  expect(performance.now() - started).toBeLessThan(1000);
});

test("from a layout the same is read as from a root, and nothing is left in the temporary folder", async () => {
  using scratch = makeScratch();
  const image = await resolveImage(busyboxImage(scratch.path));
  const temporary = join(scratch.path, "tmp");
  mkdirSync(temporary);
  vi.stubEnv("TMPDIR", temporary);
  onTestFinished(() => void vi.unstubAllEnvs());
  const database = await readUserDatabaseOfLayout(image);
  expect(database.passwd).toContain("app:x:1000:1000:");
  expect(database.group).toContain("app:x:1000:");
  expect(readdirSync(temporary)).toEqual([]);
});

test("a higher layer's file wins, and whiteouts hide those below", async () => {
  using scratch = makeScratch();
  const low = { files: { "etc/passwd": "low", "etc/group": "low" } };
  expect(await ofLayers(scratch.path, low, { files: { "etc/passwd": "high" } })).toEqual({ passwd: "high", group: "low" });
  expect(await ofLayers(scratch.path, low, { files: { "etc/.wh.passwd": "" } })).toEqual({ group: "low" });
  expect(await ofLayers(scratch.path, low, { files: { "etc/.wh..wh..opq": "", "etc/group": "high" } })).toEqual({ group: "high" });
  expect(await ofLayers(scratch.path, low, { files: { ".wh.etc": "" } })).toEqual({});
  expect(await ofLayers(scratch.path, low, { files: { "etc/.wh.passwd": "" } }, { files: { "etc/passwd": "again" } })).toEqual({
    passwd: "again",
    group: "low",
  });
  expect(await ofLayers(scratch.path, { files: { "etc/.wh.passwd": "", "etc/group": "only" } })).toEqual({ group: "only" });
});

test("names are found however the tar writes them", async () => {
  using scratch = makeScratch();
  const plain = makeTar({ "etc/passwd": "p" });
  const dotted = makeTar({ ".": {}, "etc/group": "g" });
  expect(dotted.includes("./etc/group")).toBe(true);
  expect(plain.includes("./etc/passwd")).toBe(false);
  expect(await ofLayers(scratch.path, { tar: plain }, { tar: dotted })).toEqual({ passwd: "p", group: "g" });
  mkdirSync(join(scratch.path, "t/etc"), { recursive: true });
  writeFileSync(join(scratch.path, "t/etc/passwd"), "absolute");
  const rooted = execFileSync("tar", ["-c", "-P", "--transform=s,^,/,", "-C", join(scratch.path, "t"), "etc"]);
  expect(await ofLayers(scratch.path, { tar: plain }, { tar: rooted })).toEqual({ passwd: "absolute" });
});

test("an image with no etc has no users", async () => {
  using scratch = makeScratch();
  expect(await ofLayers(scratch.path, { files: { "bin/x": "x" } })).toEqual({});
});

test("a link inside etc is followed", async () => {
  using scratch = makeScratch();
  const files = {
    "etc/static/passwd": "static",
    "etc/passwd": { symlink: "static/passwd" },
    "etc/group": { symlink: "/etc/static/passwd" },
  };
  expect(await ofLayers(scratch.path, { files })).toEqual({ passwd: "static", group: "static" });
});

test.each([
  [
    "a link of passwd to elsewhere in the image",
    { "etc/passwd": { symlink: "../usr/share/passwd" }, "usr/share/passwd": "there" },
    /etc\/passwd is a symbolic link to outside/,
  ],
  ["a link of passwd to the host's file", { "etc/passwd": { symlink: "/proc/self/environ" } }, /etc\/passwd is a symbolic link to outside/],
  ["a link of etc itself", { etc: { symlink: "usr/etc" }, "usr/etc/passwd": "there" }, /\/etc is a symbolic link to outside/],
])("%s is refused with the reason", async (_, files, expected) => {
  using scratch = makeScratch();
  await expect(ofLayers(scratch.path, { files })).rejects.toMatchObject({
    reason: "ImageInvalid",
    message: expect.stringMatching(expected),
  });
});

test("a link that one layer leaves cannot lead the next layer's files out", async () => {
  using scratch = makeScratch();
  const victim = join(scratch.path, "victim");
  mkdirSync(victim);
  const first = { files: { etc: { symlink: victim } } };
  expect(await ofLayers(scratch.path, first, { files: { "etc/passwd": "evil" } })).toEqual({ passwd: "evil" });
  expect(readdirSync(victim)).toEqual([]);
});

test("a wrong digest is refused here too", async () => {
  using scratch = makeScratch();
  const image = await resolveImage(makeLayout(scratch.path, { layers: [{ files: { "etc/passwd": "p" } }], compression: "none" }));
  const layers = image.layers.map((layer) => ({ ...layer, digest: `sha256:${"0".repeat(64)}` }));
  await expect(readUserDatabaseOfLayout({ ...image, layers })).rejects.toThrow(/its content has the digest/);
});

test("a user who is not root reads the database too", async () => {
  using scratch = makeScratch();
  chmodSync(scratch.path, 0o755);
  const reference = busyboxImage(join(scratch.path, "image"));
  const program = `
    import { resolveImage } from ${JSON.stringify(join(import.meta.dirname, "../../src/image/layout.ts"))};
    import { readUserDatabaseOfLayout } from ${JSON.stringify(join(import.meta.dirname, "../../src/image/users.ts"))};
    process.stdout.write((await readUserDatabaseOfLayout(await resolveImage(${JSON.stringify(reference)}))).passwd);`;
  const run = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", program], { uid: 65534, gid: 65534, encoding: "utf8" });
  expect(run.stderr).toBe("");
  expect(run.stdout).toContain("app:x:1000:1000:");
});
