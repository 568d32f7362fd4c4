import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { CommandError, runCommand } from "../../src/host/command.ts";

const timeoutMs = 20_000;
const sh = (script: string, more: { timeoutMs?: number; input?: string; cwd?: string } = {}) =>
  runCommand(["sh", "-c", script], { timeoutMs, ...more });

test("a non-zero exit is an answer with the code and both outputs", async () => {
  expect(await sh("echo out; echo err >&2; exit 42")).toMatchObject({ exitCode: 42, stdout: "out\n", stderr: "err\n", timedOut: false });
});

test("a program that a signal ended answers 128 and its number", async () => {
  expect(await sh("kill -9 $$")).toMatchObject({ exitCode: 137, timedOut: false });
});

test("a program that is missing, or must not be run, is an error that names it", async () => {
  await expect(runCommand(["no-such-program"], { timeoutMs })).rejects.toThrow(CommandError);
  await expect(runCommand(["no-such-program"], { timeoutMs })).rejects.toThrow(/cannot run no-such-program:.*ENOENT/);
  await expect(runCommand(["/etc/passwd"], { timeoutMs })).rejects.toThrow(/cannot run \/etc\/passwd:.*EACCES/);
  await expect(runCommand(["true"], { timeoutMs, cwd: "/no-such-folder" })).rejects.toThrow(/cwd.*no-such-folder/);
});

test("when the time is over the whole process group is killed", async () => {
  const marker = `61.${process.pid}`;
  const result = await sh(`sleep ${marker} & sleep ${marker}`, { timeoutMs: 300 });
  expect(result).toMatchObject({ exitCode: 137, timedOut: true });
  expect(result.durationMs).toBeLessThan(5000);
  expect(spawnSync("pgrep", ["-f", `sleep ${marker}`], { encoding: "utf8" }).stdout).toBe("");
});

test("a background process that holds the output open is not waited for, and what was written is kept", async () => {
  const result = await sh("echo before; sleep 30 & echo $!");
  expect(result.durationMs).toBeLessThan(5000);
  const [first, pid] = result.stdout.trim().split("\n");
  expect(first).toBe("before");
  process.kill(Number(pid), "SIGKILL");
});

test("stdin is empty unless there is input", async () => {
  expect((await sh("wc -c")).stdout.trim()).toBe("0");
  expect((await sh("cat", { input: "hello" })).stdout).toBe("hello");
  expect((await sh("exit 3", { input: "x".repeat(1 << 20) })).exitCode).toBe(3);
});

test("the environment is PATH alone unless given", async () => {
  process.env["BERTH_TEST_SECRET"] = "x";
  const names = (text: string): string[] =>
    text
      .split("\n")
      .map((line) => line.split("=")[0] ?? "")
      .filter(Boolean)
      .sort();
  expect(names((await runCommand(["env"], { timeoutMs })).stdout)).toEqual(["PATH"]);
  expect(names((await runCommand(["/usr/bin/env"], { timeoutMs, env: { A: "1" } })).stdout)).toEqual(["A"]);
});

test("of long output the last 64 KiB are kept", async () => {
  const { stdout } = await sh("yes 0123456789 | head -c 1000000; echo end");
  expect(stdout).toHaveLength(64 * 1024);
  expect(stdout.endsWith("end\n")).toBe(true);
});
