import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isStatic, missingDebianPackages } from "../../src/dev/setup/debian.mjs";
import { withSetupLock } from "../../src/dev/setup/lock.mjs";
import { linkCommands, modulesAreStale, unlinkedCommands } from "../../src/dev/setup/modules.mjs";
import { debianSourceLines, releaseOf, runscState } from "../../src/dev/setup/runsc.mjs";
import { run, SetupError } from "../../src/dev/setup/tools.mjs";

/** @type {string} */
let folder;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "berth-setup-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** @param {string} path @param {string} text */
function write(path, text) {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), text);
}

/** @param {string} name @param {string} script */
function writeCommand(name, script) {
  write(`bin/${name}`, `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, "bin", name), 0o755);
}

describe("the mirror's address comes from the machine's apt sources", () => {
  const keys = "/usr/share/keyrings/debian-archive-keyring.gpg";

  test("deb822", () => {
    write(
      "sources.list.d/debian.sources",
      `Types: deb deb-src\n# a remark\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\n contrib\nSigned-By: ${keys}\n\n` +
        `Types: deb\nURIs: http://mirror.test/debian-security\nSuites: bookworm-security\nComponents: main\n`,
    );
    expect(debianSourceLines(folder, "bookworm")).toEqual([`deb [signed-by=${keys}] http://mirror.test/debian bookworm-backports main`]);
  });

  test("one line, with options and without", () => {
    write(
      "sources.list",
      "# deb http://off.test/debian bookworm main\ndeb-src http://mirror.test/debian bookworm main\n" +
        "deb [arch=amd64 trusted=yes] mirror+file:/etc/mirrors.list bookworm main non-free # remark\ndeb http://mirror.test/debian-security bookworm-security main\n",
    );
    expect(debianSourceLines(folder, "bookworm")).toEqual([
      `deb [signed-by=${keys} trusted=yes] mirror+file:/etc/mirrors.list bookworm-backports main`,
    ]);
  });

  test("archives of others come last, those switched off or without main not at all", () => {
    write(
      "sources.list.d/a.list",
      "deb [signed-by=/k.gpg] https://tools.test bookworm main\ndeb https://docker.test/linux/debian bookworm stable\n",
    );
    write("sources.list.d/b.sources", "Types: deb\nEnabled: no\nURIs: http://off.test/debian\nSuites: bookworm\nComponents: main\n");
    write("sources.list.d/c.sources", "Types: deb\nURIs: http://mirror.test/debian/\nSuites: bookworm\nComponents: main\n");
    expect(debianSourceLines(folder, "bookworm").map((line) => line.split(" ")[2])).toEqual([
      "http://mirror.test/debian/",
      "https://tools.test",
    ]);
  });

  test("a newer Debian has a new runsc itself", () => {
    write("sources.list", "deb http://mirror.test/debian trixie main\n");
    expect(debianSourceLines(folder, "trixie")).toEqual([`deb [signed-by=${keys}] http://mirror.test/debian trixie main`]);
  });
});

describe("Debian packages", () => {
  const module = JSON.stringify(new URL("../../src/dev/setup/debian.mjs", import.meta.url).href);
  const script = `import { installDebianPackages } from ${module};
    try { installDebianPackages(["runc"], console.log); } catch (error) { console.log(error.message); }`;
  const node = [process.execPath, "--input-type=module", "-e", script];

  test("are installed after an update, without questions", () => {
    writeCommand("apt-get", `echo "$DEBIAN_FRONTEND $*" >>${folder}/calls`);
    const [command = "", ...args] = node;
    const called = spawnSync(command, args, { encoding: "utf8", env: { PATH: join(folder, "bin") } });
    expect(called.stdout).toBe("installing runc (apt-get)\n");
    const options = "noninteractive -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0";
    expect(readFileSync(join(folder, "calls"), "utf8")).toBe(`${options} update\n${options} install --yes --no-install-recommends runc\n`);
  });

  test("an apt that fails is shown", () => {
    writeCommand("apt-get", "echo E: no network; exit 100");
    const [command = "", ...args] = node;
    const called = spawnSync(command, args, { encoding: "utf8", env: { PATH: join(folder, "bin") } });
    expect(called.stdout).toMatch(/apt-get .* update failed \(exit code 100\)\nE: no network/);
  });

  test("gcc that finds no libc.a to link statically gets one", () => {
    writeCommand("gcc", `[ -e ${folder}/calls ] && echo /usr/lib/libc.a || echo libc.a`);
    writeCommand("apt-get", `echo "$*" >>${folder}/calls`);
    const install = `import { installCompiler } from ${module}; installCompiler(console.log); installCompiler(console.log);`;
    const called = spawnSync(process.execPath, ["--input-type=module", "-e", install], {
      encoding: "utf8",
      env: { PATH: join(folder, "bin") },
    });
    expect(called.stdout).toBe("installing gcc libc6-dev (apt-get)\n");
    expect(readFileSync(join(folder, "calls"), "utf8").match(/install .*/g)).toEqual([
      "install --yes --no-install-recommends gcc libc6-dev",
    ]);
  });

  test("who is not root is told what is missing", () => {
    // Its own copy: another user may not reach into this checkout.
    const called = spawnSync("setpriv", ["--reuid=65534", "--clear-groups", process.execPath, "--input-type=module"], {
      encoding: "utf8",
      input: `import { requireRoot } from "data:text/javascript,${encodeURIComponent(readFileSync("src/dev/setup/tools.mjs", "utf8"))}";
        try { requireRoot("runc crun"); } catch (error) { console.log(error.message); }`,
    });
    expect(called.stdout).toBe("must be root to install what is missing: runc crun\n");
  });
});

describe("runsc", () => {
  test.each([
    ["runsc version 0.0~20240729.0\nspec: 1.0.2-dev\n", 20240729],
    ["runsc version release-20260905.0\nspec: 1.1.0-rc.1\n", 20260905],
    ["runsc version 0.0~20221219.0\n", 20221219],
    ["runsc version VERSION_MISSING\n", undefined],
  ])("%j", (text, release) => expect(releaseOf(text)).toBe(release));

  test("one of before 2024 is refused and not replaced", () => {
    writeCommand("runsc", "echo runsc version 0.0~20221219.0");
    expect(runscState(join(folder, "bin"))).toMatchObject({ kind: "unusable", why: expect.stringContaining("2024 or newer") });
    const setup = spawnSync(process.execPath, ["src/dev/setup.mjs"], {
      encoding: "utf8",
      env: { ...process.env, PATH: `${join(folder, "bin")}:${process.env["PATH"]}` },
    });
    expect(setup.status).toBe(1);
    expect(setup.stderr).toMatch(/^setup: .*\/bin\/runsc is of 20221219, too old/);
  });

  test("a newer one is used as it is", () => {
    writeCommand("runsc", "echo runsc version release-20260905.0");
    expect(runscState(join(folder, "bin"))).toEqual({ kind: "good", path: join(folder, "bin/runsc"), release: 20260905 });
  });
});

describe("node modules", () => {
  const entry = { version: "1.0.0", integrity: "sha512-a" };
  /** @param {object} wanted @param {object} [installed] */
  function writeLocks(wanted, installed) {
    write("package-lock.json", JSON.stringify({ packages: { "": { name: "x" }, ...wanted } }));
    if (installed !== undefined) write("node_modules/.package-lock.json", JSON.stringify({ packages: installed }));
  }

  test("nothing installed is stale, the same is not", () => {
    writeLocks({ "node_modules/a": entry });
    expect(modulesAreStale(folder)).toBe(true);
    mkdirSync(join(folder, "node_modules/a"), { recursive: true });
    writeLocks({ "node_modules/a": entry }, { "node_modules/a": entry });
    expect(modulesAreStale(folder)).toBe(false);
  });

  test("builds for other systems need not be there", () => {
    mkdirSync(join(folder, "node_modules/a"), { recursive: true });
    writeLocks({ "node_modules/a": entry, "node_modules/b-win32": { ...entry, optional: true } }, { "node_modules/a": entry });
    expect(modulesAreStale(folder)).toBe(false);
  });

  test.each([
    ["another version", { "node_modules/a": { ...entry, version: "1.0.1" } }],
    ["another content", { "node_modules/a": { ...entry, integrity: "sha512-b" } }],
    ["one more package", { "node_modules/a": entry, "node_modules/b": entry }],
    ["one package less", {}],
  ])("%s is stale", (_, wanted) => {
    mkdirSync(join(folder, "node_modules/a"), { recursive: true });
    writeLocks(wanted, { "node_modules/a": entry });
    expect(modulesAreStale(folder)).toBe(true);
  });

  test("a folder that somebody removed is stale", () => {
    writeLocks({ "node_modules/a": entry }, { "node_modules/a": entry });
    expect(modulesAreStale(folder)).toBe(true);
  });

  test("berth's own commands are linked once, and a wrong link is put right", () => {
    write("package.json", JSON.stringify({ bin: { berth: "src/berth.ts", later: "src/later.ts" } }));
    write("src/berth.ts", "");
    mkdirSync(join(folder, "node_modules/.bin"), { recursive: true });
    symlinkSync("../elsewhere", join(folder, "node_modules/.bin/berth"));
    expect(unlinkedCommands(folder)).toHaveLength(1);
    linkCommands(folder);
    expect(unlinkedCommands(folder)).toEqual([]);
    expect(existsSync(join(folder, "node_modules/.bin/berth"))).toBe(true);
  });
});

test("a static program is told from a dynamic one", () => {
  expect(isStatic("/bin/busybox")).toBe(true);
  expect(isStatic("/bin/ls")).toBe(false);
  expect(isStatic("/etc/passwd")).toBe(false);
  expect(isStatic(undefined)).toBe(false);
});

test("this machine lacks nothing once setup has run", () => {
  expect(missingDebianPackages()).toEqual([]);
});

test("a command that fails tells what it printed", () => {
  expect(() => run("sh", ["-c", "echo seen; echo why >&2; exit 3"])).toThrow(/exit code 3.*\nseen\nwhy/s);
  expect(() => run("no-such-command", [])).toThrow(SetupError);
});

test("two setups wait for one another, and a killed one lets go", async () => {
  const lock = join(folder, "lock");
  const module = JSON.stringify(new URL("../../src/dev/setup/lock.mjs", import.meta.url).href);
  const script = `import { withSetupLock } from ${module};
    await withSetupLock(() => {}, () => new Promise((resolve) => { console.log("in"); setTimeout(resolve, 60_000); }), ${JSON.stringify(lock)});`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve) => holder.stdout.once("data", resolve));
  /** @type {string[]} */
  const said = [];
  let entered = false;
  const waiter = withSetupLock(
    (line) => said.push(line),
    () => (entered = true),
    lock,
  );
  await sleep(900);
  expect(entered).toBe(false);
  expect(said).toEqual(["waiting for another setup on this machine"]);
  holder.kill("SIGKILL");
  await waiter;
  expect(entered).toBe(true);
  expect(readFileSync(lock, "utf8")).toBe("");
});
