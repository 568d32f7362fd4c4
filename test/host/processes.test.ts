import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isAlive, killProcess, processIdentity } from "../../src/host/processes.ts";
import { makeScratch } from "../support/scratch.ts";

test("the identity of a running process is stable, and it is alive", () => {
  const identity = processIdentity(process.pid);
  expect(identity).toEqual(processIdentity(process.pid));
  expect(identity?.startTime).toBeGreaterThan(0);
  expect(identity !== undefined && isAlive(identity)).toBe(true);
});

test("the start time is found behind a program name with blanks and brackets", async () => {
  using scratch = makeScratch();
  const program = join(scratch.path, "a) S 1 (b");
  copyFileSync("/bin/sleep", program);
  const child = spawn(program, ["60"], { stdio: "ignore" });
  await once(child, "spawn");
  const shell = processIdentity(process.pid);
  const identity = processIdentity(child.pid ?? 0);
  child.kill("SIGKILL");
  expect(identity?.startTime).toBeGreaterThanOrEqual(shell?.startTime ?? Number.NaN);
});

test("a signal reaches the process and is answered with true", async () => {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  const ended = once(child, "exit");
  const identity = processIdentity(child.pid ?? 0);
  expect(identity && killProcess(identity, "SIGTERM")).toBe(true);
  expect(await ended).toEqual([null, "SIGTERM"]);
  expect(identity && isAlive(identity)).toBe(false);
  expect(identity && killProcess(identity, "SIGKILL")).toBe(false);
});

test("a process with the same pid and another start time is not signalled", async () => {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  const identity = processIdentity(child.pid ?? 0);
  if (identity === undefined) throw new Error("sleep did not start");
  const earlier = { ...identity, startTime: identity.startTime - 1 };
  expect(isAlive(earlier)).toBe(false);
  expect(killProcess(earlier, "SIGKILL")).toBe(false);
  expect(isAlive(identity)).toBe(true);
  child.kill("SIGKILL");
  await once(child, "exit");
});

test("a zombie is not alive", async () => {
  // The shell prints its child's pid, kills it and becomes a program that never waits.
  const parent = spawn("sh", ["-c", "sleep 60 & echo $!; kill -9 $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  await expect.poll(() => processIdentity(Number(line))).toBeUndefined();
  expect(() => process.kill(Number(line), 0)).not.toThrow();
  parent.kill("SIGKILL");
  await once(parent, "exit");
});

test("no process has pid 0 or one that is not used", () => {
  expect(processIdentity(0)).toBeUndefined();
  expect(processIdentity(2 ** 22 + 1)).toBeUndefined();
  expect(killProcess({ pid: 2 ** 22 + 1, startTime: 1 }, "SIGKILL")).toBe(false);
});
