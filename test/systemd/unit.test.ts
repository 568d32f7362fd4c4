import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config.ts";
import { installTree } from "../../src/dev/install-tree.ts";
import { launchPrefix, parseUnit } from "./unit.ts";

/** All that may stand in berthd.service, and why a container does not feel it. */
const ALLOWED: Readonly<Record<string, string>> = {
  "Unit.Description": "a text",
  "Unit.Documentation": "a text",
  "Unit.After": "order at boot",
  "Unit.Wants": "order at boot",
  "Unit.StartLimitIntervalSec": "systemd's own count of starts",
  "Service.Type": "how systemd learns that berthd is ready",
  "Service.ExecStart": "the program",
  "Service.ExecReload": "a signal to berthd alone",
  "Service.WatchdogSec": "berthd alone answers it; WATCHDOG_USEC is in the environment, which no config.json takes over",
  "Service.Restart": "what systemd does when berthd ended",
  "Service.RestartSec": "what systemd does when berthd ended",
  "Service.KillMode": "process: who else is in the service's cgroup lives on",
  "Service.Delegate": "the service's own cgroup; sandboxes are in berth.slice",
  "Service.TasksMax": "the service's own cgroup; sandboxes are in berth.slice",
  "Service.LimitNOFILE": "inherited by runtimes, not by containers: every config.json sets RLIMIT_NOFILE",
  "Service.LimitNPROC": "infinity: takes a limit away that containers would inherit",
  "Install.WantedBy": "when it is started",
};

let scratch: string;
let root: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "berth-unit-"));
  root = join(scratch, "root");
  await installTree(root);
}, 60_000);

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function installedUnit() {
  return parseUnit(readFileSync(join(root, "usr/lib/systemd/system/berthd.service"), "utf8"));
}

describe("berthd.service", () => {
  test("has only directives that no container feels", () => {
    const names = installedUnit().map(({ section, name }) => `${section}.${name}`);
    expect(names.filter((name) => !(name in ALLOWED))).toEqual([]);
    expect(Object.keys(ALLOWED).filter((name) => !names.includes(name))).toEqual([]);
  });

  test("is ready by notification, watched, restarted always, and ends alone", () => {
    const values = Object.fromEntries(installedUnit().map(({ name, value }) => [name, value]));
    expect(values).toMatchObject({
      Type: "notify",
      WatchdogSec: "30",
      KillMode: "process",
      Delegate: "yes",
      Restart: "always",
      LimitNPROC: "infinity",
    });
    expect(values["ExecStart"]).toBe("/usr/bin/berthd");
  });

  test("starts a program with its limits and with nothing else taken away", () => {
    const unit = installedUnit();
    expect(launchPrefix(unit, new Map())).toEqual([
      "prlimit",
      "--nofile=1048576:1048576",
      "--nproc=unlimited:unlimited",
      "setpriv",
      "--keep-groups",
    ]);
    const [command = "", ...args] = launchPrefix(unit);
    const status = execFileSync(command, [...args, "cat", "/proc/self/status"], { encoding: "utf8" });
    const own = readFileSync("/proc/self/status", "utf8");
    for (const line of [/^CapBnd:.*$/m, /^NoNewPrivs:.*$/m, /^Seccomp:.*$/m]) expect(line.exec(status)?.[0]).toBe(line.exec(own)?.[0]);
  });

  test("a directive that containers inherit is seen as such", () => {
    const text = readFileSync(join(root, "usr/lib/systemd/system/berthd.service"), "utf8");
    const hardened = parseUnit(
      `${text}\n[Service]\nNoNewPrivileges=yes\nCapabilityBoundingSet=~CAP_SYS_ADMIN CAP_NET_ADMIN\nLimitCORE=0\n`,
    );
    expect(hardened.filter(({ section, name }) => !(`${section}.${name}` in ALLOWED)).map(({ name }) => name)).toEqual([
      "NoNewPrivileges",
      "CapabilityBoundingSet",
      "LimitCORE",
    ]);
    expect(launchPrefix(hardened, new Map()).slice(3)).toEqual([
      "--core=0:0",
      "setpriv",
      "--keep-groups",
      "--bounding-set=+all,-sys_admin,-net_admin",
      "--no-new-privs",
    ]);
  });
});

describe("the installed tree", () => {
  test("systemd finds no fault in the units", () => {
    // As on a node: systemd's own units stand beside berth's.
    cpSync("/usr/lib/systemd/system", join(root, "usr/lib/systemd/system"), { recursive: true, verbatimSymlinks: true, force: false });
    cpSync("/bin/kill", join(root, "bin/kill"));
    const verified = spawnSync("systemd-analyze", ["verify", `--root=${root}`, "--man=no", "berthd.service", "berth.slice"], {
      encoding: "utf8",
    });
    expect(verified).toMatchObject({ status: 0, stdout: "", stderr: "" });
  });

  test("makes the group and the folders with their modes", () => {
    execFileSync("systemd-sysusers", [`--root=${root}`, "berth.conf"], { stdio: "pipe" });
    execFileSync("systemd-tmpfiles", [`--root=${root}`, "--create", "berth.conf"], { stdio: "pipe" });
    expect(readFileSync(join(root, "etc/group"), "utf8")).toMatch(/^berth:x:\d+:$/m);
    const modes = ["run/berth", "var/lib/berth", "etc/berth"].map((path) => (statSync(join(root, path)).mode & 0o7777).toString(8));
    expect(modes).toEqual(["711", "700", "755"]);
  });

  test("brings a config that is good as it is, and good with all its examples switched on", async () => {
    const file = join(root, "etc/berth/berth.yaml");
    const asInstalled = await loadConfig(file);
    writeFileSync(file, readFileSync(file, "utf8").split("\n\n").map(switchOnExample).join("\n\n"));
    const withExamples = await loadConfig(file);
    expect(withExamples.runtimeClasses.length).toBe(asInstalled.runtimeClasses.length + 1);
    // All but the example of a class are the defaults.
    expect({ ...withExamples, runtimeClasses: [] }).toEqual({ ...asInstalled, runtimeClasses: [] });
  });
});

/** Takes the # from an option and what belongs to it: the lines from `#name:` to the end of the paragraph. */
function switchOnExample(paragraph: string): string {
  const lines = paragraph.split("\n");
  const start = lines.findIndex((line) => /^#[a-zA-Z]+:/.test(line));
  return lines.map((line, index) => (start >= 0 && index >= start ? line.replace(/^#/, "") : line)).join("\n");
}
