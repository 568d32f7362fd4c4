import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { chainIdsOf, resolveImage } from "../../src/image/layout.ts";
import { addToIndex, busyboxImage, makeLayout, writeJsonBlob } from "../support/layout.ts";
import { makeScratch } from "../support/scratch.ts";

const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;
const layers = [{ files: { a: "a" } }, { files: { b: "b" } }];

interface Index {
  manifests: { digest: string; size: number; mediaType: string }[];
}

function readIndex(dir: string): Index {
  return JSON.parse(readFileSync(join(dir, "index.json"), "utf8")) as Index;
}

function blobOf(dir: string, digest: string): string {
  return join(dir, "blobs/sha256", digest.slice(7));
}

function manifestOf(dir: string): { path: string; value: { config: { digest: string }; layers: { digest: string; mediaType: string }[] } } {
  const path = blobOf(dir, readIndex(dir).manifests[0]?.digest ?? "");
  return { path, value: JSON.parse(readFileSync(path, "utf8")) };
}

/** The same image with another manifest, as the only one of its layout. */
function replaceManifest(dir: string, value: object): void {
  rmSync(join(dir, "index.json"));
  addToIndex(dir, writeJsonBlob(dir, MANIFEST, value));
}

test("an image is pinned with its config, and its chain ids are those that skopeo's users know", async () => {
  using scratch = makeScratch();
  const config = { Entrypoint: ["/e"], Cmd: ["c"], Env: ["A=1"], User: "app", WorkingDir: "/w", StopSignal: "SIGINT" };
  const image = await resolveImage(makeLayout(scratch.path, { layers, config }));
  expect(image.config).toEqual({ entrypoint: ["/e"], cmd: ["c"], env: ["A=1"], user: "app", workingDir: "/w", stopSignal: "SIGINT" });
  expect(image.layers).toHaveLength(2);
  const [low, top] = image.layers;
  expect(low?.chainId).toBe(low?.diffId);
  const shell = execFileSync("sh", ["-c", `printf '%s %s' ${low?.chainId} ${top?.diffId} | sha256sum`], { encoding: "utf8" });
  expect(top?.chainId).toBe(`sha256:${shell.slice(0, 64)}`);
  expect(image.digest).toBe(`sha256:${execFileSync("sha256sum", [blobOf(scratch.path, image.digest)], { encoding: "utf8" }).slice(0, 64)}`);
  expect(chainIdsOf([])).toEqual([]);
});

test("null fields, as docker writes them, are as good as absent", async () => {
  using scratch = makeScratch();
  const config = JSON.parse('{"Entrypoint":null,"Cmd":null,"Env":null,"User":null,"WorkingDir":null,"StopSignal":null,"Labels":null}');
  const image = await resolveImage(makeLayout(scratch.path, { layers, config }));
  expect(image.config).toEqual({ entrypoint: [], cmd: [], env: [], user: "", workingDir: "", stopSignal: "" });
});

test("a layout that skopeo wrote resolves to the digest that skopeo tells", async () => {
  using scratch = makeScratch();
  busyboxImage(join(scratch.path, "one"));
  const copy = join(scratch.path, "two");
  execFileSync("skopeo", ["copy", "--insecure-policy", `oci:${join(scratch.path, "one")}:latest`, `oci:${copy}:other`], { stdio: "pipe" });
  const told = JSON.parse(execFileSync("skopeo", ["inspect", `oci:${copy}:other`], { encoding: "utf8" })) as { Digest: string };
  expect((await resolveImage(`oci:${copy}:other`)).digest).toBe(told.Digest);
});

test("without a tag the only image is meant, or the one tagged latest", async () => {
  using scratch = makeScratch();
  const one = await resolveImage(makeLayout(scratch.path, { layers, tag: "v1" }));
  expect((await resolveImage(`oci:${scratch.path}`)).digest).toBe(one.digest);
  makeLayout(scratch.path, { layers: layers.slice(0, 1), tag: "v2" });
  await expect(resolveImage(`oci:${scratch.path}`)).rejects.toMatchObject({
    reason: "ImageNotFound",
    message: expect.stringContaining("v1, v2"),
  });
  const latest = await resolveImage(makeLayout(scratch.path, { layers: [{ files: { c: "c" } }], tag: "latest" }));
  expect((await resolveImage(`oci:${scratch.path}`)).digest).toBe(latest.digest);
});

test("an unknown tag is not found, and the tags that there are are listed", async () => {
  using scratch = makeScratch();
  makeLayout(scratch.path, { layers, tag: "v1" });
  await expect(resolveImage(`oci:${scratch.path}:v3`)).rejects.toMatchObject({
    reason: "ImageNotFound",
    message: expect.stringMatching(/no tag v3; it has the tags v1/),
  });
});

test("a path with no layout is not found", async () => {
  using scratch = makeScratch();
  await expect(resolveImage("oci:/no/such/folder")).rejects.toMatchObject({
    reason: "ImageNotFound",
    message: expect.stringContaining("/no/such/folder/oci-layout"),
  });
  await expect(resolveImage(`oci:${scratch.path}`)).rejects.toMatchObject({ reason: "ImageNotFound" });
});

test("in nested indexes the manifest for this machine is found, attestations and other machines are passed by", async () => {
  using scratch = makeScratch();
  const plain = await resolveImage(makeLayout(scratch.path, { layers }));
  const [manifest] = readIndex(scratch.path).manifests;
  const platform = (os: string, architecture: string): object => ({ ...manifest, platform: { os, architecture } });
  const other = { ...writeJsonBlob(scratch.path, MANIFEST, {}), platform: { os: "linux", architecture: "s390x" } };
  const inner = writeJsonBlob(scratch.path, INDEX, { manifests: [other, platform("unknown", "unknown"), platform("linux", ARCHITECTURE)] });
  rmSync(join(scratch.path, "index.json"));
  addToIndex(scratch.path, writeJsonBlob(scratch.path, INDEX, { manifests: [inner] }));
  expect((await resolveImage(`oci:${scratch.path}`)).digest).toBe(plain.digest);
});

test("an image for other machines only is refused with those that it is for", async () => {
  using scratch = makeScratch();
  makeLayout(scratch.path, { layers });
  const [manifest] = readIndex(scratch.path).manifests;
  rmSync(join(scratch.path, "index.json"));
  addToIndex(
    scratch.path,
    writeJsonBlob(scratch.path, INDEX, { manifests: [{ ...manifest, platform: { os: "linux", architecture: "s390x" } }] }),
  );
  await expect(resolveImage(`oci:${scratch.path}`)).rejects.toMatchObject({
    reason: "ImageInvalid",
    message: expect.stringContaining("linux/s390x"),
  });
});

test("more than four indexes inside each other are refused", async () => {
  using scratch = makeScratch();
  makeLayout(scratch.path, { layers });
  let entry: object = readIndex(scratch.path).manifests[0] ?? {};
  for (let depth = 0; depth < 5; depth++) entry = writeJsonBlob(scratch.path, INDEX, { manifests: [entry] });
  rmSync(join(scratch.path, "index.json"));
  addToIndex(scratch.path, entry);
  await expect(resolveImage(`oci:${scratch.path}`)).rejects.toThrow(/more than 4 indexes/);
});

test("a manifest or config of which one byte was changed is refused by its digest", async () => {
  using scratch = makeScratch();
  const reference = makeLayout(scratch.path, { layers });
  const manifest = manifestOf(scratch.path);
  for (const file of [blobOf(scratch.path, manifest.value.config.digest), manifest.path]) {
    const good = readFileSync(file);
    writeFileSync(file, good.toString().replace("linux", "linus").replace("schemaVersion", "schemaversion"));
    await expect(resolveImage(reference)).rejects.toMatchObject({
      reason: "ImageInvalid",
      message: expect.stringMatching(new RegExp(`${file}: its content has the digest`)),
    });
    writeFileSync(file, good);
  }
  await resolveImage(reference);
});

test("a layer that is missing, cut or a link is refused before it is unpacked", async () => {
  using scratch = makeScratch();
  const reference = makeLayout(scratch.path, { layers });
  const file = blobOf(scratch.path, manifestOf(scratch.path).value.layers[1]?.digest ?? "");
  truncateSync(file, 10);
  await expect(resolveImage(reference)).rejects.toThrow(`${file}: the layer has 10 bytes`);
  rmSync(file);
  await expect(resolveImage(reference)).rejects.toThrow(`${file}: the layer is missing`);
  symlinkSync("/etc/shadow", file);
  await expect(resolveImage(reference)).rejects.toThrow(`${file}: the layer is not a regular file`);
});

test("a layer of an unknown media type is refused by its name", async () => {
  using scratch = makeScratch();
  const reference = makeLayout(scratch.path, { layers });
  const { value } = manifestOf(scratch.path);
  replaceManifest(scratch.path, { ...value, layers: value.layers.map((layer) => ({ ...layer, mediaType: "application/x-rar" })) });
  await expect(resolveImage(reference)).rejects.toThrow(/media type application\/x-rar/);
});

test("layers and diff_ids of different number are refused", async () => {
  using scratch = makeScratch();
  const reference = makeLayout(scratch.path, { layers });
  const { value } = manifestOf(scratch.path);
  replaceManifest(scratch.path, { ...value, layers: value.layers.slice(1) });
  await expect(resolveImage(reference)).rejects.toThrow(/1 layers, the config 2 diff_ids/);
});

test.each([
  ["text that is not JSON", "{", /index.json: .*JSON/],
  ["a wrong type", '{"manifests":{}}', /index.json: manifests: /],
  [
    "a digest that is a path",
    '{"manifests":[{"mediaType":"x","size":1,"digest":"sha256:../../../../etc/passwd"}]}',
    /manifests.0.digest: must be sha256/,
  ],
  ["another digest algorithm", `{"manifests":[{"mediaType":"x","size":1,"digest":"sha512:${"a".repeat(128)}"}]}`, /must be sha256/],
])("an index with %s is refused with the file and the field", async (_, text, expected) => {
  using scratch = makeScratch();
  const reference = makeLayout(scratch.path, { layers });
  writeFileSync(join(scratch.path, "index.json"), text);
  await expect(resolveImage(reference)).rejects.toMatchObject({ reason: "ImageInvalid", message: expect.stringMatching(expected) });
});

test("a fifo in place of index.json is refused rather than waited for", async () => {
  using scratch = makeScratch();
  const reference = makeLayout(scratch.path, { layers });
  rmSync(join(scratch.path, "index.json"));
  execFileSync("mkfifo", [join(scratch.path, "index.json")]);
  await expect(resolveImage(reference)).rejects.toThrow(/not a regular file/);
});
