import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { BerthError, invalidRequest } from "../../src/errors.ts";
import type { LogRecord } from "../../src/monitor/logs.ts";
import { VERSION } from "../../src/observe/version.ts";
import { startServer } from "../api/fixture.ts";

const BERTH = fileURLToPath(new URL("../../src/cli/berth.ts", import.meta.url));

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
  /** As it was written. */
  bytes: { stdout: Buffer; stderr: Buffer };
}

/** Runs the real program. */
async function berth(args: readonly string[], { input = "", env = {} }: { input?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Ended> {
  const child = spawn(BERTH, args, { env: { ...process.env, NO_COLOR: "1", ...env }, stdio: "pipe" });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on("error", reject).on("close", resolve);
  child.stdin.end(input);
  const [code, stdout, stderr] = await Promise.all([promise, buffer(child.stdout), buffer(child.stderr)]);
  return { code, stdout: stdout.toString(), stderr: stderr.toString(), bytes: { stdout, stderr } };
}

const DOCUMENT = JSON.stringify({
  apiVersion: "berth/v1",
  kind: "Sandbox",
  metadata: { name: "web" },
  spec: { containers: [{ name: "web", image: "oci:/srv/busybox" }] },
});
const POD = JSON.stringify({ ...JSON.parse(DOCUMENT), apiVersion: "v1", kind: "Pod" });
const FIRST_ID = "1".padStart(32, "0");

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "berth-cli-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

test("run prints name, id, state and containers, and what to know on stderr", async () => {
  await using api = await startServer();
  const { code, stdout, stderr } = await berth(["run", "-f", "-", "--address", api.address], { input: POD });
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: `sandbox  default/web
id       ${FIRST_ID}
state    RUNNING

CONTAINER  STATE   EXIT  RESTARTS  REASON     IMAGE
web        EXITED  0     0         Completed  oci:/srv/busybox
`,
    stderr: `warning: spec.restartPolicy is not set: Kubernetes would restart containers (Always), berth runs them once (Never)
warning: container web: added capabilities are not effective for uid 1000 after exec
`,
  });
});

test("-n, --address and -o are taken before and after the command, and the address from the environment", async () => {
  await using api = await startServer();
  const file = `${await folder()}/web.json`;
  await writeFile(file, DOCUMENT);
  const before = await berth(["--address", api.address, "-n", "team-a", "-o", "json", "run", "-f", file]);
  expect(before.code).toBe(0);
  expect(JSON.parse(before.stdout)).toMatchObject({
    metadata: { namespace: "team-a", name: "web", id: FIRST_ID },
    status: { state: "SANDBOX_STATE_RUNNING" },
  });
  const after = await berth(["inspect", "web", "-n", "team-a", "-o", "json"], { env: { BERTH_ADDRESS: api.address } });
  expect(JSON.parse(after.stdout)).toEqual(JSON.parse(before.stdout));
  expect((await berth(["inspect", "web"], { env: { BERTH_ADDRESS: api.address } })).code).toBe(1);
});

test("a file that names another namespace than -n is refused", async () => {
  await using api = await startServer();
  const input = DOCUMENT.replace('"name":"web"', '"name":"web","namespace":"a"');
  const { code, stderr } = await berth(["run", "-f", "-", "-n", "b", "--address", api.address], { input });
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: "berth: invalid request\n  metadata.namespace: is not the namespace of -n (found a); allowed: b, or no -n\n",
  });
  expect((await berth(["run", "-f", "-", "--address", api.address], { input })).code).toBe(0);
});

test("ps lists the namespace, or all of them, page after page", async () => {
  await using api = await startServer();
  const empty = await berth(["ps", "-o", "json", "--address", api.address]);
  expect(JSON.parse(empty.stdout)).toEqual({ sandboxes: [] });
  await berth(["run", "-f", "-", "--address", api.address], { input: DOCUMENT });
  await berth(["run", "-f", "-", "-n", "team-a", "--address", api.address], { input: DOCUMENT });
  const here = await berth(["ps", "--address", api.address]);
  expect(here.stdout).toMatch(
    new RegExp(`^NAME  STATE    RUNNING  CLASS  AGE +ID\nweb   RUNNING  0/1      runsc  \\d+[smhd] +${FIRST_ID}\n$`),
  );
  const all = await berth(["ps", "-A", "--address", api.address]);
  expect(all.stdout).toMatch(/^NAMESPACE {2}NAME .*\ndefault .*\nteam-a .*\n$/);
  const [record] = api.sandboxes.records.values();
  if (!record) throw new Error("there is no record");
  for (let index = 0; index < 1200; index += 1) api.sandboxes.records.set(`x${index}`, { ...record, namespace: "many" });
  const { sandboxes } = JSON.parse((await berth(["ps", "-n", "many", "-o", "json", "--address", api.address])).stdout) as {
    sandboxes: unknown[];
  };
  expect(sandboxes).toHaveLength(1200);
});

test("inspect tells everything to people", async () => {
  await using api = await startServer();
  await berth(["run", "-f", "-", "--address", api.address], { input: DOCUMENT });
  const { code, stdout } = await berth(["inspect", FIRST_ID, "--address", api.address]);
  expect(code).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "name           web
    namespace      default
    id             00000000000000000000000000000001
    labels         -
    state          RUNNING
    operation      -
    runtime class  runsc
    runtime        runsc release-20260905.0 systrap
    binary         sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    created        2026-11-21T10:00:00.123Z
    started        2026-11-21T10:00:01.000Z
    finished       -

    CONTAINER  STATE    EXIT  RESTARTS  REASON     IMAGE
    pause      RUNNING  -     0         -          -
    web        EXITED   0     0         Completed  oci:/srv/busybox

    warnings:
      container web: added capabilities are not effective for uid 1000 after exec

    enforcement:
      CONTAINER  PROPERTY                          REQUESTED      ENFORCED  HOW           NOTE
      web        securityContext.capabilities.add  CAP_NET_ADMIN  yes       bounding set  -

    stages:
      image  12.5 ms
    "
  `);
});

test("stop and rm resolve a name once and call by id, with the grace in seconds", async () => {
  await using api = await startServer();
  await berth(["run", "-f", "-", "--address", api.address], { input: DOCUMENT });
  api.sandboxes.calls.length = 0;
  const stopped = await berth(["stop", "web", "--grace", "1.5", "-o", "json", "--address", api.address]);
  expect(JSON.parse(stopped.stdout)).toMatchObject({ metadata: { id: FIRST_ID }, status: { state: "SANDBOX_STATE_STOPPED" } });
  const removed = await berth(["rm", "web", "--address", api.address]);
  expect(removed).toMatchObject({ code: 0, stdout: "removed web\n" });
  const calls = api.sandboxes.calls.filter(({ verb }) => verb === "stop" || verb === "delete").map(({ argument }) => argument);
  expect(calls).toEqual([
    { id: FIRST_ID, graceMs: 1500 },
    { id: FIRST_ID, graceMs: undefined },
  ]);
});

test("rm of a name that is not there fails; of an id that is not there it is done", async () => {
  await using api = await startServer();
  const byName = await berth(["rm", "web", "-o", "json", "--address", api.address]);
  expect(byName.code).toBe(1);
  expect(JSON.parse(byName.stdout)).toEqual({
    code: "NOT_FOUND",
    message: "there is no sandbox web",
    reason: "SandboxNotFound",
    violations: [],
  });
  const byId = await berth(["rm", FIRST_ID, "-o", "json", "--address", api.address]);
  expect({ code: byId.code, json: JSON.parse(byId.stdout) as unknown }).toEqual({ code: 0, json: { existed: false } });
  expect((await berth(["rm", FIRST_ID, "--address", api.address])).stdout).toBe(`there was no sandbox ${FIRST_ID}\n`);
});

test("logs go byte for byte to where they were written, line feeds only after whole lines", async () => {
  await using api = await startServer();
  await berth(["run", "-f", "-", "--address", api.address], { input: DOCUMENT });
  const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).filter((byte) => byte !== 0x0a);
  const entry = (data: string | Buffer, stream: LogRecord["stream"], partial: boolean, second: number): LogRecord => ({
    time: `2026-11-21T10:00:0${second}.000000001Z`,
    ...{ stream, partial, data: Buffer.from(data) },
  });
  api.sandboxes.logRecords = async function* () {
    yield [entry("one ", "stdout", true, 1), entry("err", "stderr", false, 2), entry("line", "stdout", false, 3)];
    yield [entry(Buffer.from(binary), "stdout", false, 4), entry("", "stdout", false, 5), entry("no end", "stderr", true, 6)];
  };
  const { code, bytes } = await berth(["logs", "web", "-c", "web", "--address", api.address]);
  expect(code).toBe(0);
  expect(bytes.stdout.equals(Buffer.concat([Buffer.from("one line\n"), binary, Buffer.from("\n\n")]))).toBe(true);
  expect(bytes.stderr.toString()).toBe("err\nno end");
  const timed = await berth(["logs", "web", "-t", "--address", api.address]);
  expect(timed.stdout).toMatch(/^2026-11-21T10:00:01\.000000001Z one line\n2026-11-21T10:00:04\.000000001Z /);
  expect(timed.stderr).toBe("2026-11-21T10:00:02.000000001Z err\n2026-11-21T10:00:06.000000001Z no end");
  const json = await berth(["logs", "web", "-o", "json", "--address", api.address]);
  expect(JSON.parse(json.stdout.split("\n")[0] ?? "")).toEqual({
    time: "2026-11-21T10:00:01.000000001Z",
    stream: "LOG_STREAM_STDOUT",
    data: "b25lIA==",
    partial: true,
  });
});

test("megabytes of logs arrive whole at a slow reader", async () => {
  await using api = await startServer();
  await berth(["run", "-f", "-", "--address", api.address], { input: DOCUMENT });
  const line = Buffer.alloc(8000, "x");
  api.sandboxes.logRecords = async function* () {
    for (let batch = 0; batch < 100; batch += 1)
      yield Array.from({ length: 8 }, () => ({ time: "2026-11-21T10:00:00Z", stream: "stdout" as const, partial: false, data: line }));
  };
  const child = spawn(BERTH, ["logs", "web", "--address", api.address], { stdio: ["ignore", "pipe", "inherit"] });
  let size = 0;
  for await (const chunk of child.stdout) {
    size += (chunk as Buffer).length;
    await sleep(1);
  }
  expect(size).toBe(800 * 8001);
});

test("a reader that leaves early, such as head, is no failure", async () => {
  await using api = await startServer();
  await berth(["run", "-f", "-", "--address", api.address], { input: DOCUMENT });
  api.sandboxes.logRecords = async function* () {
    for (;;) yield [{ time: "2026-11-21T10:00:00Z", stream: "stdout", partial: false, data: Buffer.alloc(60_000, "x") }];
  };
  const child = spawn(BERTH, ["logs", "web", "--address", api.address], { stdio: ["ignore", "pipe", "pipe"] });
  const { promise, resolve } = Promise.withResolvers<number | null>();
  child.on("close", resolve);
  child.stdout.once("data", () => child.stdout.destroy());
  expect((await buffer(child.stderr)).toString()).toBe("");
  expect(await promise).toBe(0);
});

test("node shows the runtime classes and why one is not ready", async () => {
  await using api = await startServer();
  const { code, stdout } = await berth(["node", "--address", api.address]);
  expect(code).toBe(0);
  expect(stdout).toMatchInlineSnapshot(`
    "berthd         0.1.0
    host           node-1
    system         Debian GNU/Linux 12, Linux 6.1.0, x64
    cpus           2
    memory         8.0 GiB
    cgroups        v2
    new sandboxes  taken

    CLASS          ADAPTER  READY  VERSION             PLATFORM  BINARY          NOTE
    runsc, gvisor  runsc    yes    release-20260905.0  systrap   /usr/bin/runsc  ambient-capabilities
    crun           crun     no     -                   -         crun            crun is not on PATH
    "
  `);
  const json = JSON.parse((await berth(["node", "-o", "json", "--address", api.address])).stdout) as unknown;
  expect(json).toMatchObject({
    hostname: "node-1",
    memoryBytes: "8589934592",
    runtimeClasses: [
      { name: "runsc", ready: true },
      { name: "crun", ready: false },
    ],
  });
});

test("a refusal is one block on stderr, or JSON on stdout, with stage, container and the runtime's log", async () => {
  await using api = await startServer();
  api.sandboxes.fault = new BerthError("StartFailed", "the command cannot be started", {
    stage: "app-start",
    container: "web",
    logTail: "first\n\u001b[31msecond\n",
  });
  const text = await berth(["run", "-f", "-", "--address", api.address], { input: DOCUMENT });
  expect(text).toMatchObject({
    code: 1,
    stdout: "",
    stderr:
      "berth: the command cannot be started (stage app-start, container web)\n  log of the runtime:\n    first\n    \uFFFD[31msecond\n",
  });
  const json = await berth(["run", "-f", "-", "-o", "json", "--address", api.address], { input: DOCUMENT });
  expect(json).toMatchObject({ code: 1, stderr: "" });
  expect(JSON.parse(json.stdout)).toEqual({
    code: "FAILED_PRECONDITION",
    message: "the command cannot be started",
    reason: "StartFailed",
    violations: [],
    stage: "app-start",
    container: "web",
    logTail: "first\n\u001b[31msecond\n",
  });
  const violation = { field: "spec.runtimeClassName", rule: "is not a class", value: '"x"', allowed: "runsc" };
  api.sandboxes.fault = invalidRequest([violation]);
  const refused = await berth(["run", "-f", "-", "-o", "json", "--address", api.address], { input: DOCUMENT });
  expect(JSON.parse(refused.stdout)).toMatchObject({ code: "INVALID_ARGUMENT", violations: [violation] });
});

test("a bad file is refused here with every violation, and berthd is not asked", async () => {
  const input = DOCUMENT.replace('"oci:/srv/busybox"', '"oci:/srv/busybox","ports":[],"securityContext":{"runAsUser":-1}');
  const text = await berth(["run", "-f", "-", "--address", "unix:///nowhere"], { input });
  expect(text.code).toBe(1);
  expect(text.stderr).toMatch(/^berth: invalid request\n {2}spec\.containers\[0\]\.[^\n]+\n {2}spec\.containers\[0\]\.[^\n]+\n$/);
  const json = await berth(["run", "-f", "-", "-o", "json", "--address", "unix:///nowhere"], { input });
  const { code, violations } = JSON.parse(json.stdout) as { code: string; violations: { field: string }[] };
  expect({ code, fields: violations.map(({ field }) => field).toSorted() }).toEqual({
    code: "INVALID_ARGUMENT",
    fields: ["spec.containers[0].ports", "spec.containers[0].securityContext.runAsUser"],
  });
});

test("a file that cannot be read, and a berthd that is not there, are told plainly", async () => {
  const missing = await berth(["run", "-f", "/nowhere/x.yaml"]);
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringMatching(/^berth: cannot read \/nowhere\/x\.yaml: ENOENT/) });
  const endless = await berth(["run", "-f", "/dev/zero"]);
  expect(endless).toMatchObject({ code: 1, stderr: expect.stringMatching(/larger than/) });
  const alone = await berth(["ps", "--address", "unix:///nowhere/b.sock"]);
  expect(alone).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(
      /^berth: cannot reach berthd at unix:\/\/\/nowhere\/b\.sock \(is it running\?.*ENOENT \/nowhere\/b\.sock\.\n$/,
    ),
  });
  expect(JSON.parse((await berth(["ps", "-o", "json", "--address", "unix:///nowhere/b.sock"])).stdout)).toMatchObject({
    code: "UNAVAILABLE",
  });
});

test.for([
  [[], 2],
  [["bogus"], 2],
  [["run"], 2],
  [["inspect"], 2],
  [["ps", "extra"], 2],
  [["ps", "--bogus"], 2],
  [["ps", "-o", "xml"], 2],
  [["ps", "--address", "http://x"], 2],
  [["stop", "x", "--grace", "soon"], 2],
  [["rm", "x", "--grace", "3601"], 2],
  [["render", "-f", "x", "--image-config", "a=1", "--image-config", "a=2"], 2],
  [["check"], 2],
  [["check", "-f", "x", "--level", "strict"], 2],
  [["check", "-f", "x", "--policy"], 2],
  [["--help"], 0],
  [["help", "run"], 0],
  [["--version"], 0],
] as const)("berth %j ends with %i", async ([args, code]) => {
  const ended = await berth(args);
  expect(ended.code).toBe(code);
  if (code === 2) expect(ended.stdout).toBe("");
  else expect(ended.stderr).toBe("");
});

test("it tells its version, and every command has help with an example", async () => {
  expect((await berth(["--version"])).stdout).toBe(`${VERSION}\n`);
  for (const command of ["run", "ps", "inspect", "logs", "stop", "rm", "render", "diff", "check", "node"]) {
    expect((await berth([command, "--help"])).stdout).toMatch(new RegExp(`Example:\\n  berth ${command}`));
  }
});

const IMAGE_CONFIG = JSON.stringify({
  architecture: "amd64",
  os: "linux",
  config: { Cmd: ["sh"], Env: ["PATH=/bin"] },
  rootfs: { type: "layers", diff_ids: [] },
});

test("render writes config.json for pause and each app, for their owner only, and needs no berthd", async () => {
  const out = await folder();
  await writeFile(`${out}/image.json`, IMAGE_CONFIG);
  const ended = await berth(["render", "-f", "-", "--out", `${out}/bundles`, "--image-config", `web=${out}/image.json`], {
    input: DOCUMENT,
  });
  expect(ended).toMatchObject({ code: 0, stdout: `${out}/bundles/pause/config.json\n${out}/bundles/web/config.json\n` });
  for (const container of ["pause", "web"]) {
    const path = `${out}/bundles/${container}/config.json`;
    expect(JSON.parse(await readFile(path, "utf8"))).toMatchObject({ ociVersion: expect.any(String) });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(`${out}/bundles/${container}`)).mode & 0o777).toBe(0o700);
  }
  const printed = await berth(["render", "-f", "-", "--image-config", `${out}/image.json`], { input: DOCUMENT });
  expect(printed.stdout).toContain(`==> web/config.json <==\n${await readFile(`${out}/bundles/web/config.json`, "utf8")}`);
  const json = JSON.parse(
    (await berth(["render", "-f", "-", "-o", "json", "--image-config", `${out}/image.json`], { input: POD })).stdout,
  ) as {
    bundles: { container: string; config: { process: { args: string[] } } }[];
    enforcement: unknown[];
    warnings: string[];
  };
  expect(json.bundles.map(({ container }) => container)).toEqual(["pause", "web"]);
  expect(json.bundles[1]?.config.process.args).toEqual(["sh"]);
  expect(json.enforcement).toBeInstanceOf(Array);
  expect(json.warnings.join()).toContain("restartPolicy");
});

test("render --explain prints each value's origin beside it, and writes the same files", async () => {
  const out = await folder();
  await writeFile(`${out}/image.json`, IMAGE_CONFIG);
  const args = ["render", "-f", "-", "--explain", "--image-config", `${out}/image.json`];
  const { code, stdout } = await berth(args, { input: DOCUMENT });
  expect(code).toBe(0);
  expect(stdout).toMatch(/^==> pause\/config\.json <==\n\{\n {2}"ociVersion": "1\.0\.2", +# runtime: crun 1\.8 refuses newer versions\n/);
  expect(stdout).toMatch(/^ {2}"hostname": "web", +# request: metadata\.name$/m);
  expect(stdout).toMatch(/^ {6}"PATH=\/bin" +# image: Env\[0\] of the image config that was given$/m);
  const both = await berth([...args, "--out", `${out}/bundles`], { input: DOCUMENT });
  expect(both.stdout).toContain(`${out}/bundles/web/config.json\n==> web/config.json <==\n`);
  expect(await readFile(`${out}/bundles/web/config.json`, "utf8")).not.toContain("#");
});

test("render --explain -o json has an origin for each JSON pointer; without --explain there is none", async () => {
  const out = await folder();
  await writeFile(`${out}/image.json`, IMAGE_CONFIG);
  const args = ["render", "-f", "-", "-o", "json", "--image-config", `${out}/image.json`];
  const read = async (...more: string[]) => JSON.parse((await berth([...args, ...more], { input: DOCUMENT })).stdout) as unknown;
  const explained = await read("--explain");
  expect(explained).toMatchObject({
    bundles: [
      { container: "pause", provenance: { "/hostname": { kind: "request", source: "metadata.name" } } },
      { container: "web", provenance: { "/process/args/0": { kind: "image", source: "Cmd[0] of the image config that was given" } } },
    ],
  });
  expect(JSON.stringify(await read())).not.toContain("provenance");
});

test("diff tells pointer, values and origins, by its exit code whether there are any, and needs no berthd for files", async () => {
  const dir = await folder();
  const document = JSON.parse(DOCUMENT) as { metadata: object; spec: { containers: object[] } };
  const [container = {}] = document.spec.containers;
  const other = { ...document, spec: { containers: [{ ...container, workingDir: "/tmp" }] } };
  await writeFile(join(dir, "image.json"), JSON.stringify({ config: { Cmd: ["sh"] } }));
  await writeFile(join(dir, "a.yaml"), DOCUMENT);
  await writeFile(join(dir, "b.yaml"), JSON.stringify(other));
  const diff = (a: string, b: string, ...more: string[]) =>
    berth(["diff", join(dir, a), join(dir, b), "--image-config", `web=${dir}/image.json`, "--address", "unix:///no/such.sock", ...more]);
  expect(await diff("a.yaml", "a.yaml")).toMatchObject({ code: 0, stdout: "", stderr: "" });
  const { code, stdout } = await diff("a.yaml", "b.yaml");
  expect(code).toBe(1);
  expect(stdout).toBe(`--- ${dir}/a.yaml
+++ ${dir}/b.yaml

web: /process/cwd
  - "/"     # default: the root folder
  + "/tmp"  # request: spec.containers[0].workingDir
`);
  const json = await diff("a.yaml", "b.yaml", "-o", "json");
  expect(json.code).toBe(1);
  expect(JSON.parse(json.stdout)).toEqual({
    differences: [
      {
        container: "web",
        entries: [],
        a: { pointer: "/process/cwd", value: "/", origin: { kind: "default", source: "the root folder" } },
        b: { pointer: "/process/cwd", value: "/tmp", origin: { kind: "request", source: "spec.containers[0].workingDir" } },
      },
    ],
    onlyInA: [],
    onlyInB: [],
    warnings: [],
  });
});

test("what cannot be compared is no difference: diff exits with 2", async () => {
  const dir = await folder();
  await writeFile(join(dir, "a.yaml"), DOCUMENT);
  await writeFile(join(dir, "image.json"), JSON.stringify({ config: { Cmd: ["sh"] } }));
  const a = join(dir, "a.yaml");
  const missing = await berth(["diff", a, join(dir, "b.yaml"), "-o", "json"]);
  expect(missing.code).toBe(2);
  expect(JSON.parse(missing.stdout)).toMatchObject({ code: "INVALID_ARGUMENT", reason: "InvalidRequest" });
  const noNode = await berth(["diff", a, "team/web", "--image-config", join(dir, "image.json"), "--address", `unix://${dir}/none.sock`]);
  expect(noNode).toMatchObject({ code: 2, stdout: "" });
  expect(noNode.stderr).toContain("cannot reach berthd");
  expect(await berth(["diff", a])).toMatchObject({ code: 2 });
});

test("diff asks berthd for what is a sandbox's name or id", async () => {
  await using api = await startServer();
  const ID = "a".repeat(32);
  for (const [name, target] of [
    ["web", { namespace: "default", name: "web" }],
    ["team/web", { namespace: "team", name: "web" }],
    [ID, { id: ID }],
  ] as const) {
    const ended = await berth(["diff", name, name, "--address", api.address]);
    expect(ended).toMatchObject({ code: 0, stdout: "", stderr: `warning: ${name}: look out\n` });
    expect(api.sandboxes.calls.at(-1)).toEqual({ verb: "bundles", argument: target });
  }
});

test("render refuses an image config for a container that is not there", async () => {
  const ended = await berth(["render", "-f", "-", "--image-config", "other=x.json", "-o", "json"], { input: DOCUMENT });
  expect(ended.code).toBe(1);
  expect(JSON.parse(ended.stdout)).toMatchObject({
    code: "INVALID_ARGUMENT",
    violations: [{ field: "--image-config", value: "other", allowed: "web" }],
  });
});
