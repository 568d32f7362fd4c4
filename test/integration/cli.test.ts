import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { WIDE_POLICY, CLASSES } from "./node.ts";
import { sharedNode, waitFor, writeDocument } from "./life-support/support.ts";

const node = sharedNode({ policy: WIDE_POLICY });

interface Container {
  name: string;
  state: string;
  exitCode?: number;
  reason: string;
}

/** What DESIGN promises of a sandbox's JSON. */
interface Sandbox {
  metadata: { id: string; namespace: string; name: string };
  status: {
    state: string;
    reason: string;
    containers: Container[];
    pause: Container;
    warnings: string[];
    runtime: { className: string; version: string };
  };
}

/** Runs the command with -o json; its exit code must be the expected one and stderr empty. */
async function json<T>(expectedCode: number, ...args: string[]): Promise<T> {
  const { exitCode, stdout, stderr } = await node().berth(...args, "-o", "json");
  expect({ exitCode, stderr }).toEqual({ exitCode: expectedCode, stderr: "" });
  return JSON.parse(stdout) as T;
}

const document = (name: string, runtimeClassName: string, script: string, more: object = {}) => ({
  apiVersion: "berth/v1",
  kind: "Sandbox",
  metadata: { name },
  spec: { runtimeClassName, containers: [{ name: "app", image: node().image, command: ["/bin/sh", "-c", script], ...more }] },
});
const write = (name: string, content: unknown): string => writeDocument(node(), `${name}.yaml`, stringify(content));

async function untilState(name: string, state: string): Promise<Sandbox> {
  return await waitFor(`${name} being ${state}`, async () => {
    const sandbox = JSON.parse((await node().berth("inspect", name, "-o", "json")).stdout) as Sandbox;
    return sandbox.status.state === state && sandbox;
  });
}

test.each(CLASSES)("$name: run, inspect, ps, logs, stop and rm, with the names that programs rely on", async ({ name: runtimeClass }) => {
  const file = write("web", document("web", runtimeClass, "echo hello; echo oh >&2; trap 'exit 3' TERM; while :; do sleep 0.05; done"));
  const created = await json<Sandbox>(0, "run", "-f", file);
  expect(created).toMatchObject({
    metadata: { namespace: "default", name: "web", id: expect.stringMatching(/^[0-9a-f]{32}$/) as string },
    status: {
      state: "SANDBOX_STATE_RUNNING",
      reason: "",
      warnings: [],
      containers: [{ name: "app", state: "CONTAINER_STATE_RUNNING", reason: "" }],
      pause: { name: "pause", state: "CONTAINER_STATE_RUNNING" },
      runtime: { className: runtimeClass },
    },
  });
  expect(created.status.containers[0]).not.toHaveProperty("exitCode");
  const { id } = created.metadata;
  expect((await json<Sandbox>(0, "run", "-f", file)).metadata.id).toBe(id);
  expect((await json<Sandbox>(0, "inspect", id)).metadata).toEqual(created.metadata);
  const { sandboxes } = await json<{ sandboxes: Sandbox[] }>(0, "ps");
  expect(sandboxes.map(({ metadata, status }) => [metadata.id, status.state])).toEqual([[id, "SANDBOX_STATE_RUNNING"]]);
  await waitFor("the last line", async () => (await node().berth("logs", "web")).stderr !== "");
  expect(await node().berth("logs", "web", "-c", "app")).toEqual({ exitCode: 0, stdout: "hello\n", stderr: "oh\n" });
  const stopped = await json<Sandbox>(0, "stop", "web", "--grace", "5");
  expect(stopped.status).toMatchObject({
    state: "SANDBOX_STATE_STOPPED",
    containers: [{ name: "app", state: "CONTAINER_STATE_EXITED", exitCode: 3, reason: "Error" }],
  });
  expect(await node().berth("logs", id)).toEqual({ exitCode: 0, stdout: "hello\n", stderr: "oh\n" });
  expect(await json(0, "rm", id)).toEqual({ existed: true });
  expect(await json(0, "rm", id)).toEqual({ existed: false });
  expect(node().leftovers()).toEqual([]);
});

test("an exit code of 0 is printed, and rm ends what runs", async () => {
  await json(0, "run", "-f", write("zero", document("zero", "runc", "true")));
  const zero = await untilState("zero", "SANDBOX_STATE_COMPLETED");
  expect(zero.status.containers).toMatchObject([{ name: "app", state: "CONTAINER_STATE_EXITED", exitCode: 0, reason: "Completed" }]);
  expect((await node().berth("inspect", "zero")).stdout).toMatch(/^app +EXITED +0 +0 +Completed /m);
  await json(0, "run", "-f", write("on", document("on", "runc", "exec sleep 1000")));
  const listed = await node().berth("ps");
  expect(listed.stdout).toMatch(
    /^NAME .*\non +RUNNING +1\/1 +runc +\d+s +[0-9a-f]{32}\nzero +COMPLETED +0\/1 +runc +\d+s +[0-9a-f]{32}\n$/,
  );
  expect(await node().berth("rm", "on", "--grace", "0")).toEqual({ exitCode: 0, stdout: "removed on\n", stderr: "" });
  expect(await node().berth("rm", "zero")).toEqual({ exitCode: 0, stdout: "removed zero\n", stderr: "" });
  expect(await json(0, "ps", "-A")).toEqual({ sandboxes: [] });
});

test("a Pod manifest runs, in the namespace of -n, and what its author may not expect is told", async () => {
  const { spec } = document("pod", "crun", "id -u", { securityContext: { runAsUser: 1000, capabilities: { add: ["NET_ADMIN"] } } });
  const pod = writeDocument(node(), "pod.json", JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: "pod" }, spec }));
  const { exitCode, stdout, stderr } = await node().berth("run", "-f", pod, "-n", "team-a", "-o", "json");
  expect({ exitCode, stderr }).toEqual({
    exitCode: 0,
    stderr: "warning: spec.restartPolicy is not set: Kubernetes would restart containers (Always), berth runs them once (Never)\n",
  });
  const sandbox = JSON.parse(stdout) as Sandbox;
  expect(sandbox.status.warnings).toEqual([expect.stringContaining("CAP_NET_ADMIN is not effective")]);
  expect(await json(0, "ps")).toEqual({ sandboxes: [] });
  const { sandboxes } = await json<{ sandboxes: Sandbox[] }>(0, "ps", "-n", "team-a");
  expect(sandboxes.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`)).toEqual(["team-a/pod"]);
  await waitFor("the output", async () => (await node().berth("logs", "pod", "-n", "team-a")).stdout === "1000\n");
  expect((await node().berth("inspect", "pod")).exitCode).toBe(1);
});

test("render needs no berthd: it writes the bundles, or prints them, and makes no sandbox", async () => {
  const file = write("render", document("render", "runc", "true", { securityContext: { runAsUser: 7, capabilities: { drop: ["ALL"] } } }));
  const out = join(node().dir, "rendered");
  const { exitCode, stdout } = await node().berth("render", "-f", file, "--out", out, "--address", "unix:///nowhere");
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `${out}/pause/config.json\n${out}/app/config.json\n` });
  const app = JSON.parse(readFileSync(join(out, "app/config.json"), "utf8")) as {
    process: { user: object; args: string[]; capabilities: object };
  };
  expect(app.process).toMatchObject({
    user: { uid: 7, gid: 0 },
    args: ["/bin/sh", "-c", "true"],
    capabilities: { bounding: [], effective: [] },
  });
  const pause = JSON.parse(readFileSync(join(out, "pause/config.json"), "utf8")) as { process: { user: object } };
  expect(pause.process.user).toMatchObject({ uid: 0, gid: 0 });
  expect(statSync(out).isDirectory()).toBe(true);
  const printed = await json<{ bundles: { container: string; config: unknown }[]; warnings: string[] }>(0, "render", "-f", file);
  expect(printed.bundles.map(({ container, config }) => [container, config])).toEqual([
    ["pause", pause],
    ["app", app],
  ]);
  expect(await json(0, "ps")).toEqual({ sandboxes: [] });
});

test("node tells each class, whether it is ready, and the version that its sandboxes run on", async () => {
  const { runtimeClasses } = await json<{
    runtimeClasses: { name: string; ready: boolean; adapter: string; version: string; aliases: string[] }[];
  }>(0, "node");
  expect(runtimeClasses[0]).toMatchObject({ name: "runsc", aliases: ["gvisor"] });
  for (const { name, adapter } of CLASSES) {
    expect(runtimeClasses).toContainEqual(
      expect.objectContaining({ name, adapter, ready: true, version: expect.stringMatching(/\d/) as string }),
    );
  }
  const { exitCode, stdout } = await node().berth("node");
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^runsc, gvisor +runsc +yes /m);
});

test("a refusal is one JSON object on stdout, with exit code 1", async () => {
  const taken = write("taken", document("taken", "runc", "exec sleep 1000"));
  await json(0, "run", "-f", taken);
  const refusals: [string[], object][] = [
    [["run", "-f", write("other", document("taken", "runc", "true"))], { code: "ALREADY_EXISTS", reason: "NameTaken", violations: [] }],
    [["inspect", "nobody"], { code: "NOT_FOUND", reason: "SandboxNotFound", violations: [] }],
    [["stop", "0".repeat(32)], { code: "NOT_FOUND", reason: "SandboxNotFound" }],
    [["rm", "nobody"], { code: "NOT_FOUND" }],
    [["logs", "taken", "-c", "b"], { code: "NOT_FOUND", reason: "ContainerNotFound" }],
    [
      ["run", "-f", write("broken", document("broken", "runc", "", { command: ["/no/such"] }))],
      { code: "FAILED_PRECONDITION", reason: "StartFailed", stage: "app-create", container: "app" },
    ],
    [
      ["run", "-f", write("kata", document("kata", "kata", "true"))],
      { code: "FAILED_PRECONDITION", reason: "RuntimeClassUnknown", stage: "runtime" },
    ],
    [["ps", "--address", "unix:///tmp/nobody-listens-here.sock"], { code: "UNAVAILABLE", reason: "" }],
    [
      ["run", "-f", write("user", document("user", "runc", "true", { securityContext: { runAsUser: -1 } }))],
      {
        code: "INVALID_ARGUMENT",
        violations: [
          { field: "spec.containers[0].securityContext.runAsUser", rule: "is out of range", value: "-1", allowed: "0 to 2147483647" },
        ],
      },
    ],
    [["run", "-f", join(node().dir, "no-such-file")], { code: "INVALID_ARGUMENT", violations: [] }],
  ];
  for (const [args, expected] of refusals) {
    const refusal = await json<{ message: string }>(1, ...args);
    expect(refusal).toMatchObject(expected);
    expect(refusal.message).not.toBe("");
  }
});

test("wrong usage is exit code 2 with a word on stderr, help is 0", async () => {
  const usages = [
    [],
    ["fly"],
    ["run"],
    ["inspect"],
    ["ps", "-o", "xml"],
    ["ps", "--address", "tcp://x"],
    ["stop", "a", "--grace", "soon"],
    ["ps", "--nothing"],
  ];
  for (const args of usages) {
    const { exitCode, stderr } = await node().berth(...args);
    expect({ args, exitCode }).toEqual({ args, exitCode: 2 });
    expect(stderr).not.toBe("");
  }
  const help = await node().berth("--help");
  expect({ exitCode: help.exitCode, stderr: help.stderr }).toEqual({ exitCode: 0, stderr: "" });
  for (const command of ["run", "ps", "inspect", "logs", "stop", "rm", "render", "node"])
    expect(help.stdout).toMatch(new RegExp(`^  ${command} `, "m"));
});
