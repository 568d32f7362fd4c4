import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { newRecord, type SandboxRecord } from "../../src/sandbox/record.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { startServer } from "../api/fixture.ts";

const BERTH = fileURLToPath(new URL("../../src/cli/berth.ts", import.meta.url));

type Api = Awaited<ReturnType<typeof startServer>>;

/** Runs the real program. */
async function berth(api: Api, ...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(BERTH, ["events", ...args], { env: { ...process.env, NO_COLOR: "1", BERTH_ADDRESS: api.address }, stdio: "pipe" });
  const ended = once(child, "close") as Promise<[number | null]>;
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { code, stdout, stderr };
}

function fill(api: Api): { one: SandboxRecord; two: SandboxRecord } {
  const [one, two] = ["one", "two"].map((name) =>
    newRecord(
      parseSandboxRequest({
        metadata: { name, namespace: name === "one" ? "default" : "team" },
        spec: { containers: [{ name: "app", image: "oci:/x" }] },
      }),
      "",
      new Date("2026-01-01T00:00:00Z"),
    ),
  ) as [SandboxRecord, SandboxRecord];
  const operation = { id: "1", verb: "create" as const, step: "begin", args: {}, requestId: "", startedAt: "2026-01-01T00:00:00Z" };
  api.journal.save({ ...one, operation });
  api.journal.save(two);
  Object.assign(one.containers[0]!, { state: "EXITED", exitCode: 3, reason: "Error", finishedAt: "2026-01-01T00:00:02Z" });
  Object.assign(one, { state: "FAILED", reason: "Why", message: "first\u001b[31m\nsecond" });
  api.journal.save(one);
  return { one, two };
}

const withoutTimes = (stdout: string): string[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z {2}/, ""));

test("prints what is there, one line each, and ends", async () => {
  await using api = await startServer();
  fill(api);
  const { code, stdout, stderr } = await berth(api);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(withoutTimes(stdout)).toEqual([
    "sandbox.created    default/one  PENDING  (create)",
    "sandbox.created    team/two  PENDING",
    "container.exited   default/one/app  EXITED  exit code 3  Error",
    "sandbox.state      default/one  FAILED  Why: first\uFFFD[31m second",
  ]);
});

test("filters, and begins at a time, an age or a cursor", async () => {
  await using api = await startServer();
  const { one, two } = fill(api);
  const names = async (...args: string[]): Promise<string[]> =>
    withoutTimes((await berth(api, ...args)).stdout).map((line) => line.split(/ {2,}/).slice(0, 2).join(" "));
  expect(await names("-n", "team")).toEqual(["sandbox.created team/two"]);
  expect(await names("--sandbox", two.id)).toEqual(["sandbox.created team/two"]);
  // A name alone is one of the default namespace.
  expect(await names("--sandbox", "two")).toEqual([""]);
  expect(await names("--sandbox", "two", "-n", "team")).toEqual(["sandbox.created team/two"]);
  expect(await names("--sandbox", one.id, "--kind", "sandbox.state", "--kind", "container.exited")).toEqual([
    "container.exited default/one/app",
    "sandbox.state default/one",
  ]);
  expect(await names("--since", api.journal.cursor(3))).toEqual(["sandbox.state default/one"]);
  expect(await names("--since", "10m")).toHaveLength(4);
  expect(await names("--since", "2999-01-01T00:00:00Z")).toEqual([""]);
});

test("-f -o json goes on with what happens, one Event a line, and says where to go on when berthd ends", async () => {
  await using api = await startServer();
  const { two } = fill(api);
  const args = ["events", "-f", "-o", "json", "--since", api.journal.cursor(3)];
  const child = spawn(BERTH, args, { env: { ...process.env, BERTH_ADDRESS: api.address }, stdio: "pipe" });
  const ended = once(child, "close");
  const stderr = text(child.stderr);
  let stdout = "";
  child.stdout.on("data", (chunk) => (stdout += String(chunk)));
  await expect.poll(() => stdout, { timeout: 10_000 }).toMatch(/FAILED.*\n/);
  two.state = "RUNNING";
  api.journal.save(two);
  await expect.poll(() => stdout.match(/\n/g), { timeout: 10_000 }).toHaveLength(2);
  await api.server.close(100);
  expect(await ended).toEqual([1, null]);
  // After them comes berthd's refusal.
  const [first, second] = stdout.split("\n", 2).map((line) => JSON.parse(line) as unknown);
  expect(first).toMatchObject({ kind: "sandbox.state", name: "one", sandboxState: "SANDBOX_STATE_FAILED", cursor: api.journal.cursor(4) });
  expect(second).toMatchObject({ kind: "sandbox.state", name: "two", resourceVersion: "2", cursor: api.journal.cursor(5) });
  expect(await stderr).toContain(`to go on from here: --since ${api.journal.cursor(5)}\n`);
});

test.each([
  ["--since", "yesterday", "It is not a time such as"],
  ["--since", "-5m", "It is not a time such as"],
  ["--kind", "sandbox.sate", "Allowed choices are sandbox.created"],
])("%s %s is wrong usage", async (flag, value, said) => {
  await using api = await startServer();
  const { code, stderr } = await berth(api, `${flag}=${value}`);
  expect(code).toBe(2);
  expect(stderr).toContain(said);
});
