import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { CommandError } from "../../src/host/command.ts";
import { spawnCommand } from "../../src/host/spawn.ts";
import { makeScratch } from "../support/scratch.ts";

const sh = (script: string): string[] => ["/bin/sh", "-c", script];

test("a spawned program answers its exit code and what it wrote, and knows only the given environment", async () => {
  using scratch = makeScratch();
  const output = join(scratch.path, "out");
  writeFileSync(output, "from before");
  const result = await spawnCommand(sh("echo $GIVEN; echo err >&2; exit 7"), {
    timeoutMs: 5_000,
    output,
    env: { PATH: "/usr/bin:/bin", GIVEN: "yes" },
  });
  expect(result).toEqual({ exitCode: 7, output: "yes\nerr\n", timedOut: false });
});

test("a spawned program has no descriptor but its three, no ignored or blocked signal, and a session of its own", async () => {
  using scratch = makeScratch();
  // Asked of a child: the shell itself blocks signals for a moment whenever it forks.
  const script = 'ls /proc/self/fd; grep -E "Sig(Ign|Blk)" /proc/self/status; test "$(cut -d" " -f6 /proc/$$/stat)" = $$ && echo leader';
  const { output } = await spawnCommand(sh(script), { timeoutMs: 5_000, output: join(scratch.path, "out") });
  // 3 is the folder that ls reads.
  expect(output).toBe("0\n1\n2\n3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nleader\n");
});

test("a program that does not end in time is killed with all that it started", async () => {
  using scratch = makeScratch();
  const pidFile = join(scratch.path, "pid");
  const result = await spawnCommand(sh(`sleep 300 & echo $! > ${pidFile}; wait`), { timeoutMs: 300, output: join(scratch.path, "out") });
  expect(result).toMatchObject({ exitCode: 137, timedOut: true });
  for (let left = 100; left > 0 && running(readFileSync(pidFile, "utf8").trim()); left--) await sleep(30);
  expect(running(readFileSync(pidFile, "utf8").trim())).toBe(false);
});

test("a program that is not there is an error that names it", async () => {
  using scratch = makeScratch();
  const asked = spawnCommand(["/nosuch/program"], { timeoutMs: 1_000, output: join(scratch.path, "out") });
  await expect(asked).rejects.toThrow(new CommandError("/nosuch/program", "ENOENT", undefined).message);
});

test("many at once, mixed with Node's own children, each get their own exit code", async () => {
  using scratch = makeScratch();
  const ours = Array.from(
    { length: 40 },
    async (_, index) => (await spawnCommand(sh(`exit ${index}`), { timeoutMs: 20_000, output: join(scratch.path, `${index}`) })).exitCode,
  );
  const nodes = Array.from(
    { length: 40 },
    (_, index) => new Promise((resolve) => spawn("/bin/sh", ["-c", `exit ${100 + index}`]).once("exit", resolve)),
  );
  expect(await Promise.all(ours)).toEqual(Array.from({ length: 40 }, (_, index) => index));
  expect(await Promise.all(nodes)).toEqual(Array.from({ length: 40 }, (_, index) => 100 + index));
});

/** A zombie has ended. */
function running(pid: string): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
