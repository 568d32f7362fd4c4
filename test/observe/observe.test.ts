import { expect, test } from "vitest";
import { cgroupLayout, countCpus, NodeInventory, totalMemory } from "../../src/observe/inventory.ts";
import { createLogger } from "../../src/observe/logger.ts";
import { statesOf } from "../../src/observe/metrics.ts";
import type { SandboxRecord, SandboxState } from "../../src/sandbox/record.ts";

test("the inventory tells what the node is, and asks for the runtime classes each time", async () => {
  let asked = 0;
  const inventory = new NodeInventory(async () => {
    asked += 1;
    return [];
  });
  const info = await inventory.info();
  expect(info).toMatchObject({ architecture: process.arch, runtimeClasses: [] });
  expect(info.hostname).not.toBe("");
  expect(info.operatingSystem).toMatch(/\w/);
  expect(info.kernelVersion).toMatch(/^\d+\.\d+/);
  expect(info.cpus).toBeGreaterThan(0);
  expect(info.memoryBytes).toBeGreaterThan(2 ** 20);
  await inventory.info();
  expect(asked).toBe(2);
});

test("the layout of cgroups is read from the mounts", () => {
  const v1 = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0";
  const v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0";
  const other = "proc /proc proc rw 0 0\ntmpfs /cgroup2 tmpfs rw 0 0";
  expect([`${v1}\n${other}`, `${v2}\n${other}`, `${v1}\n${v2}\n`, other].map(cgroupLayout)).toEqual(["v1", "v2", "hybrid", "none"]);
});

test("cpus and memory are read from /proc", () => {
  expect(countCpus("processor\t: 0\nmodel name: processor: 7\nprocessor\t: 1\n")).toBe(2);
  expect(countCpus("")).toBe(1);
  expect(totalMemory("MemTotal:       8000000 kB\nMemFree: 1 kB\n")).toBe(8_192_000_000);
});

test("a log line is one JSON object with its level by name, and the environment beats the level", () => {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  createLogger("info", destination).info({ sandbox: "x" }, "hello");
  createLogger("info", destination).debug("not shown");
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { level: "info", time: expect.any(String), sandbox: "x", msg: "hello" },
  ]);
  process.env["BERTH_LOG_LEVEL"] = "debug";
  createLogger("info", destination).debug("shown");
  process.env["BERTH_LOG_LEVEL"] = "nonsense";
  createLogger("warn", destination).info("not shown");
  delete process.env["BERTH_LOG_LEVEL"];
  expect(lines).toHaveLength(2);
});

test("the states of all sandboxes are read page by page", () => {
  const pages: SandboxState[][] = [["RUNNING", "FAILED"], ["STOPPED"], []];
  const states = statesOf(({ pageToken }) => {
    const page = Number(pageToken || 0);
    const records = (pages[page] ?? []).map((state) => ({ state }) as SandboxRecord);
    return { records, nextPageToken: page + 1 < pages.length ? String(page + 1) : "" };
  });
  expect([...states]).toEqual(["RUNNING", "FAILED", "STOPPED"]);
});
