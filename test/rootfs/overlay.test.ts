import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { bindMount, listMounts } from "../../src/host/mounts.ts";
import { RootFilesystems } from "../../src/rootfs/overlay.ts";
import { makeScratch } from "../support/scratch.ts";

const ID = "0123456789abcdef0123456789abcdef";

function setUp(scratch: string): { rootfs: RootFilesystems; layers: string[]; dir: string } {
  const layers = ["low", "high"].map((name) => {
    const dir = join(scratch, name);
    mkdirSync(dir);
    writeFileSync(join(dir, "who"), name);
    writeFileSync(join(dir, name), name);
    return dir;
  });
  const dir = join(scratch, "containers");
  return { rootfs: new RootFilesystems(dir), layers, dir };
}

test("the highest layer wins, and what is written goes to the container and never to the layers", () => {
  using scratch = makeScratch();
  const { rootfs, layers, dir } = setUp(scratch.path);
  const root = rootfs.mount(ID, layers);
  expect(root).toBe(join(dir, ID, "rootfs"));
  expect(readFileSync(join(root, "who"), "utf8")).toBe("high");
  expect(readdirSync(root).sort()).toEqual(["high", "low", "who"]);
  writeFileSync(join(root, "who"), "changed");
  expect(readFileSync(join(layers[1] ?? "", "who"), "utf8")).toBe("high");
});

test("two containers over the same layers do not see each other's files", () => {
  using scratch = makeScratch();
  const { rootfs, layers } = setUp(scratch.path);
  const [one, two] = [rootfs.mount("one", layers), rootfs.mount("two", layers)];
  writeFileSync(join(one, "mine"), "");
  expect(existsSync(join(two, "mine"))).toBe(false);
});

test("what was written outlives an unmount, and is gone after a remove", () => {
  using scratch = makeScratch();
  const { rootfs, layers, dir } = setUp(scratch.path);
  writeFileSync(join(rootfs.mount(ID, layers), "kept"), "kept");
  rootfs.unmount(ID);
  expect(listMounts(dir)).toEqual([]);
  expect(readFileSync(join(rootfs.mount(ID, layers), "kept"), "utf8")).toBe("kept");
  rootfs.remove(ID);
  expect(readdirSync(dir)).toEqual([]);
  expect(existsSync(join(rootfs.mount(ID, layers), "kept"))).toBe(false);
});

test("mounting twice is one mount, also for a berthd that was restarted", () => {
  using scratch = makeScratch();
  const { rootfs, layers, dir } = setUp(scratch.path);
  const root = rootfs.mount(ID, layers);
  writeFileSync(join(root, "x"), "");
  expect(new RootFilesystems(dir).mount(ID, layers)).toBe(root);
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(` ${root} `));
  expect(mounts).toHaveLength(1);
});

test("unmounting and removing what is not there is fine", () => {
  using scratch = makeScratch();
  const { rootfs, dir } = setUp(scratch.path);
  rootfs.unmount(ID);
  rootfs.remove(ID);
  expect(existsSync(dir)).toBe(false);
});

test("a root filesystem that is in use, with a mount inside, is removed all the same", async () => {
  using scratch = makeScratch();
  const { rootfs, layers, dir } = setUp(scratch.path);
  const root = rootfs.mount(ID, layers);
  mkdirSync(join(root, "mnt"));
  const outside = join(scratch.path, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "precious"), "");
  bindMount(outside, join(root, "mnt"));
  const user = spawn("sleep", ["60"], { cwd: root, stdio: "ignore" });
  await once(user, "spawn");
  rootfs.remove(ID);
  user.kill("SIGKILL");
  expect(readdirSync(dir)).toEqual([]);
  expect(readdirSync(outside)).toEqual(["precious"]);
});

test("the owner and mode of / are the top layer's at first, and then what the container made of them", () => {
  using scratch = makeScratch();
  const { rootfs, layers } = setUp(scratch.path);
  chmodSync(layers[1] ?? "", 0o711);
  chownSync(layers[1] ?? "", 5, 6);
  const first = statSync(rootfs.mount(ID, layers));
  expect([first.uid, first.gid, first.mode & 0o7777]).toEqual([5, 6, 0o711]);
  chmodSync(rootfs.mount(ID, layers), 0o700);
  rootfs.unmount(ID);
  expect(statSync(rootfs.mount(ID, layers)).mode & 0o7777).toBe(0o700);
});

test("an image with no layer gives an empty root that can be written", () => {
  using scratch = makeScratch();
  const { rootfs } = setUp(scratch.path);
  const root = rootfs.mount(ID, []);
  expect(readdirSync(root)).toEqual([]);
  writeFileSync(join(root, "x"), "");
});
