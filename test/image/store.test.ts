import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { resolveImage } from "../../src/image/layout.ts";
import type { PinnedImage } from "../../src/image/image.ts";
import { LayerStore } from "../../src/image/store.ts";
import { mountOverlay } from "../../src/host/mounts.ts";
import { busyboxImage, makeLayout, makeTar } from "../support/layout.ts";
import type { LayerSource, LayoutSource } from "../support/layout.ts";
import { makeScratch } from "../support/scratch.ts";

async function imageOf(scratch: string, layers: readonly LayerSource[], more: Partial<LayoutSource> = {}): Promise<PinnedImage> {
  return resolveImage(makeLayout(join(scratch, `image-${Math.random()}`), { layers, ...more }));
}

function storeIn(scratch: string): { store: LayerStore; kept: () => string[] } {
  const dir = join(scratch, "store");
  return { store: new LayerStore(dir), kept: () => readdirSync(join(dir, "layers")) };
}

function mountAll(scratch: string, dirs: readonly string[]): string {
  const [upperDir, workDir, target] = ["upper", "work", "merged"].map((name) => join(scratch, name)) as [string, string, string];
  for (const dir of [upperDir, workDir, target]) mkdirSync(dir);
  mountOverlay({ lowerDirs: dirs.toReversed(), writable: { upperDir, workDir }, target });
  return target;
}

function attribute(path: string, name: string): string {
  return execFileSync(
    "python3",
    ["-c", "import os,sys; sys.stdout.write(os.getxattr(sys.argv[1], sys.argv[2], follow_symlinks=False).decode('latin1'))", path, name],
    { encoding: "utf8" },
  );
}

function attributes(path: string): string {
  return execFileSync("python3", ["-c", "import os,sys; print(*os.listxattr(sys.argv[1]), end='')", path], { encoding: "utf8" });
}

test.each(["none", "gzip", "zstd"] as const)(
  "a layer compressed by %s is unpacked with owners, modes, links and attributes",
  async (compression) => {
    using scratch = makeScratch();
    const files = {
      ".": { mode: 0o711 },
      "bin/su": { content: "x", mode: 0o4755 },
      "srv/data": { content: "data", mode: 0o640, uid: 1000, gid: 1001, xattrs: { "user.note": "kept" } },
      "srv/hard": { hardlink: "srv/data" },
      "etc/link": { symlink: "/etc/elsewhere" },
      "run/fifo": { fifo: true as const },
      tmp: { directory: true as const, mode: 0o1777 },
      [`deep/${"long-name/".repeat(30)}file`]: "long",
      "ünï / \n": "odd",
    };
    const image = await imageOf(scratch.path, [{ files }], { compression });
    const [dir = ""] = await storeIn(scratch.path).store.unpack(image);
    expect(statSync(dir).mode & 0o7777).toBe(0o711);
    expect(statSync(join(dir, "bin/su")).mode & 0o7777).toBe(0o4755);
    expect(statSync(join(dir, "tmp")).mode & 0o7777).toBe(0o1777);
    const data = statSync(join(dir, "srv/data"));
    expect([data.uid, data.gid, data.mode & 0o7777, data.nlink]).toEqual([1000, 1001, 0o640, 2]);
    expect(attribute(join(dir, "srv/data"), "user.note")).toBe("kept");
    expect(readlinkSync(join(dir, "etc/link"))).toBe("/etc/elsewhere");
    expect(statSync(join(dir, "run/fifo")).isFIFO()).toBe(true);
    expect(readFileSync(join(dir, `deep/${"long-name/".repeat(30)}file`), "utf8")).toBe("long");
    expect(readFileSync(join(dir, "ünï / \n"), "utf8")).toBe("odd");
  },
);

test("a file capability is kept, attributes that would steer overlayfs are not", async () => {
  using scratch = makeScratch();
  const source = join(scratch.path, "tree");
  mkdirSync(join(source, "dir"), { recursive: true });
  writeFileSync(join(source, "ping"), "x");
  execFileSync("python3", [
    "-c",
    "import os,sys; os.setxattr(sys.argv[1], 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000'))",
    join(source, "ping"),
  ]);
  execFileSync("python3", ["-c", "import os,sys; os.setxattr(sys.argv[1], 'trusted.overlay.redirect', b'/etc')", join(source, "dir")]);
  const tar = execFileSync("tar", ["-c", "--format=pax", "--xattrs", "--xattrs-include=*", "-C", source, "ping", "dir"]);
  expect(tar.includes("trusted.overlay.redirect")).toBe(true);
  const image = await imageOf(scratch.path, [{ tar }]);
  const [dir = ""] = await storeIn(scratch.path).store.unpack(image);
  expect(attribute(join(dir, "ping"), "security.capability")).toHaveLength(20);
  expect(attributes(join(dir, "dir"))).toEqual("");
});

test("whiteouts hide what is below: a file, a folder, a link, and all of an opaque folder", async () => {
  using scratch = makeScratch();
  const image = await imageOf(scratch.path, [
    {
      files: {
        "etc/gone": "1",
        "etc/stays": "1",
        "dir/inside": "1",
        link: { symlink: "etc" },
        "opaque/old": "1",
        "both/old": "1",
        "deep/a/b": "1",
      },
    },
    {
      files: {
        "etc/.wh.gone": "",
        ".wh.dir": "",
        ".wh.link": "",
        "opaque/.wh..wh..opq": "",
        "opaque/new": "2",
        ".wh.both": "",
        "both/new": "2",
        "deep/a/.wh.never-was": "",
      },
    },
  ]);
  const root = mountAll(scratch.path, await storeIn(scratch.path).store.unpack(image));
  expect(readdirSync(root).sort()).toEqual(["both", "deep", "etc", "opaque"]);
  expect(readdirSync(join(root, "etc"))).toEqual(["stays"]);
  expect(readdirSync(join(root, "opaque"))).toEqual(["new"]);
  expect(readdirSync(join(root, "both"))).toEqual(["new"]);
  expect(readdirSync(join(root, "deep/a"))).toEqual(["b"]);
});

test("a whiteout of a name that is not UTF-8 hides it", async () => {
  using scratch = makeScratch();
  const tarOf = (name: string): Buffer =>
    execFileSync("python3", [
      "-c",
      `
import tarfile, io, sys
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.GNU_FORMAT, encoding="latin1")
t.addfile(tarfile.TarInfo(sys.argv[1]), io.BytesIO(b""))
t.close()`,
      name,
    ]);
  const image = await imageOf(scratch.path, [{ tar: tarOf("caf\u00e9") }, { tar: tarOf(".wh.caf\u00e9") }]);
  const dirs = await storeIn(scratch.path).store.unpack(image);
  expect(readdirSync(dirs[0] ?? "", { encoding: "buffer" })).toEqual([Buffer.from("caf\u00e9", "latin1")]);
  expect(readdirSync(mountAll(scratch.path, dirs))).toEqual([]);
});

test.each([".wh.", ".wh..", ".wh...", ".wh..wh.plnk", ".wh..wh..opq"])(
  "a whiteout named %s at the root of a layer is refused, and nothing is left",
  async (name) => {
    using scratch = makeScratch();
    const { store, kept } = storeIn(scratch.path);
    await expect(store.unpack(await imageOf(scratch.path, [{ files: { [name]: "" } }]))).rejects.toMatchObject({
      reason: "ImageInvalid",
      message: expect.stringContaining(name),
    });
    expect(kept()).toEqual([]);
  },
);

test.each([
  ["folder", { directory: true as const }],
  ["link", { symlink: "/etc/passwd" }],
])("a whiteout that is a %s is refused", async (_, entry) => {
  using scratch = makeScratch();
  const { store, kept } = storeIn(scratch.path);
  const image = await imageOf(scratch.path, [{ files: { "etc/.wh.x": entry } }]);
  await expect(store.unpack(image)).rejects.toMatchObject({
    reason: "ImageInvalid",
    message: expect.stringContaining("etc/.wh.x is a whiteout and not a regular file"),
  });
  expect(kept()).toEqual([]);
});

test("tar itself has no right to make a device node", async () => {
  using scratch = makeScratch();
  const image = await imageOf(scratch.path, [{ files: { "dev/null": { device: [1, 3] } } }]);
  await expect(storeIn(scratch.path).store.unpack(image)).rejects.toThrow(/Cannot mknod: Operation not permitted/);
});

test("a layer that says nothing of its root takes over that of the layer below", async () => {
  using scratch = makeScratch();
  const image = await imageOf(scratch.path, [{ files: { ".": { mode: 0o700, uid: 7, gid: 8 }, a: "" } }, { files: { b: "" } }]);
  const dirs = await storeIn(scratch.path).store.unpack(image);
  const { uid, gid, mode } = statSync(dirs[1] ?? "");
  expect([uid, gid, mode & 0o7777]).toEqual([7, 8, 0o700]);
});

test.each([[[1, 3]], [[0, 0]]] as const)("a device node %j in a layer is refused by name, and nothing is left", async (device) => {
  using scratch = makeScratch();
  const { store, kept } = storeIn(scratch.path);
  const image = await imageOf(scratch.path, [{ files: { "dev/null": { device }, "etc/x": "x" } }]);
  await expect(store.unpack(image)).rejects.toMatchObject({ reason: "ImageInvalid", message: expect.stringMatching(/dev\/null.*/) });
  await expect(store.unpack(image)).rejects.toThrow(/device node/);
  expect(kept()).toEqual([]);
});

test("a blob with a wrong digest is refused, though it unpacks, and nothing is left", async () => {
  using scratch = makeScratch();
  const { store, kept } = storeIn(scratch.path);
  const image = await imageOf(scratch.path, [{ files: { a: "good" } }], { compression: "none" });
  const [layer] = image.layers;
  writeFileSync(
    layer?.path ?? "",
    Buffer.from(
      readFileSync(layer?.path ?? "")
        .toString("latin1")
        .replace("good", "evil"),
      "latin1",
    ),
  );
  await expect(store.unpack(image)).rejects.toMatchObject({
    reason: "ImageInvalid",
    message: expect.stringMatching(/its content has the digest/),
  });
  expect(kept()).toEqual([]);
});

test("a layer whose content is not what the config says is refused", async () => {
  using scratch = makeScratch();
  const { store, kept } = storeIn(scratch.path);
  const image = await imageOf(scratch.path, [{ files: { a: "a" } }]);
  const other = { ...image, layers: image.layers.map((layer) => ({ ...layer, diffId: `sha256:${"0".repeat(64)}` })) };
  await expect(store.unpack(other)).rejects.toMatchObject({
    reason: "ImageInvalid",
    message: expect.stringMatching(/uncompressed layer has the digest/),
  });
  expect(kept()).toEqual([]);
});

test.each([
  ["cut gzip data", (gzip: Buffer) => gzip.subarray(0, gzip.length - 20)],
  ["what is no gzip data", () => Buffer.from("hello")],
  ["bytes behind the gzip data", (gzip: Buffer) => Buffer.concat([gzip, Buffer.from("behind")])],
])("%s are refused, and nothing is left", async (_, damage) => {
  using scratch = makeScratch();
  const { store, kept } = storeIn(scratch.path);
  const image = await imageOf(scratch.path, [{ files: { a: "x".repeat(100_000) } }]);
  const path = image.layers[0]?.path ?? "";
  writeFileSync(path, damage(readFileSync(path)));
  await expect(store.unpack(image)).rejects.toMatchObject({ reason: "ImageInvalid", message: expect.stringContaining(path) });
  expect(kept()).toEqual([]);
});

test("what is no tar is refused with the reason that tar gives", async () => {
  using scratch = makeScratch();
  const { store, kept } = storeIn(scratch.path);
  const image = await imageOf(scratch.path, [{ tar: Buffer.alloc(20_480, "no tar") }]);
  await expect(store.unpack(image)).rejects.toMatchObject({
    reason: "ImageInvalid",
    message: expect.stringContaining("does not look like a tar archive"),
  });
  expect(kept()).toEqual([]);
});

test("no archive writes outside its folder", async () => {
  using scratch = makeScratch();
  const hostile = (script: string): Buffer =>
    execFileSync("python3", [
      "-c",
      `
import tarfile, io, sys
t = tarfile.open(fileobj=sys.stdout.buffer, mode="w|")
def file(name):
    i = tarfile.TarInfo(name); i.size = 4; t.addfile(i, io.BytesIO(b"evil"))
def link(name, target, kind=tarfile.SYMTYPE):
    i = tarfile.TarInfo(name); i.type = kind; i.linkname = target; t.addfile(i)
${script}
t.close()`,
    ]);
  const target = join(scratch.path, "victim");
  mkdirSync(target);
  writeFileSync(join(target, "secret"), "secret");
  const { store, kept } = storeIn(scratch.path);
  const scripts = [
    'file("../../../../victim/x")',
    `link("out", "${target}"); file("out/x")`,
    'link("up", "../../../../victim"); file("up/x")',
    'link("a", "."); link("a/b", ".."); link("c", "a/b/../../../../victim"); file("c/x")',
    `link("hard", "${target}/secret", tarfile.LNKTYPE); file("hard")`,
    'link("hard", "../../../../victim/secret", tarfile.LNKTYPE); file("hard")',
    `file("${target}/x")`,
  ];
  for (const script of scripts) {
    const image = await imageOf(scratch.path, [{ tar: hostile(script) }]);
    // Some are refused, others are only kept inside, as their links are plain files of the layer.
    const [outcome] = await Promise.allSettled([store.unpack(image)]);
    expect(outcome.status === "fulfilled" || outcome.reason.reason === "ImageInvalid", script).toBe(true);
    expect(readdirSync(target), script).toEqual(["secret"]);
    expect(readFileSync(join(target, "secret"), "utf8"), script).toBe("secret");
    expect(statSync(join(target, "secret")).nlink, script).toBe(1);
  }
  expect(kept().filter((name) => name.startsWith(".tmp"))).toEqual([]);
});

test("sixteen who ask at once for one image unpack it once", async () => {
  using scratch = makeScratch();
  const { store, kept } = storeIn(scratch.path);
  const image = await resolveImage(busyboxImage(join(scratch.path, "busybox")));
  const unpacked = new Set<string>();
  const watcher = watch(join(scratch.path, "store/layers"), (_, name) => {
    if (name?.startsWith(".tmp-")) unpacked.add(name);
  });
  const answers = await Promise.all(Array.from({ length: 16 }, () => store.unpack(image)));
  await sleep(50);
  watcher.close();
  expect(new Set(answers.map(String)).size).toBe(1);
  expect(unpacked.size).toBe(1);
  expect(kept()).toEqual([image.layers[0]?.chainId.slice(7)]);
});

test("a layer that is there is not unpacked again, also by another berthd", async () => {
  using scratch = makeScratch();
  const image = await imageOf(scratch.path, [{ files: { a: "a" } }]);
  const [dir = ""] = await storeIn(scratch.path).store.unpack(image);
  const { ino } = lstatSync(dir);
  expect(await storeIn(scratch.path).store.unpack(image)).toEqual([dir]);
  expect(lstatSync(dir).ino).toBe(ino);
});

test("one failure is not remembered: a blob that was mended unpacks", async () => {
  using scratch = makeScratch();
  const { store } = storeIn(scratch.path);
  const image = await imageOf(scratch.path, [{ files: { a: "a" } }]);
  const path = image.layers[0]?.path ?? "";
  const good = readFileSync(path);
  writeFileSync(path, "damaged");
  await expect(store.unpack(image)).rejects.toThrow();
  writeFileSync(path, good);
  expect(await store.unpack(image)).toHaveLength(1);
});

test("what a crash left half unpacked is swept at the next start, whole layers stay", async () => {
  using scratch = makeScratch();
  const { store } = storeIn(scratch.path);
  const [dir = ""] = await store.unpack(await imageOf(scratch.path, [{ files: { a: "a" } }]));
  const half = join(scratch.path, "store/layers/.tmp-abc-123");
  mkdirSync(join(half, "fs"), { recursive: true });
  const { kept } = storeIn(scratch.path);
  expect(existsSync(dir)).toBe(true);
  expect(kept()).toHaveLength(1);
});

test("an image of 128 layers is unpacked and mounted, and the highest layer wins", { timeout: 60_000 }, async () => {
  using scratch = makeScratch();
  const layers = Array.from({ length: 128 }, (_, index) => ({ tar: makeTar({ same: String(index), [`only-${index}`]: "" }) }));
  const dirs = await storeIn(scratch.path).store.unpack(await imageOf(scratch.path, layers));
  const root = mountAll(scratch.path, dirs);
  expect(readFileSync(join(root, "same"), "utf8")).toBe("127");
  expect(readdirSync(root)).toHaveLength(129);
});
