import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeScratch } from "./support/scratch.ts";

const BERTHD = new URL("../src/main.ts", import.meta.url).pathname;

test.each([
  ["-sys_admin", "CAP_SYS_ADMIN"],
  ["-net_admin", "CAP_NET_ADMIN"],
  ["-all", "CAP_SYS_ADMIN and CAP_NET_ADMIN"],
])("berthd with the bounding set %s does not start, says what it lacks, and leaves nothing", (bounding, missing) => {
  using scratch = makeScratch();
  const flags = [
    "--config",
    "/dev/null",
    "--policy",
    "/dev/null",
    "--state-dir",
    join(scratch.path, "s"),
    "--run-dir",
    join(scratch.path, "r"),
  ];
  const { status, stderr } = spawnSync("setpriv", [`--bounding-set=${bounding}`, process.execPath, BERTHD, ...flags], {
    encoding: "utf8",
    timeout: 30_000,
  });
  expect([status, stderr]).toEqual([
    1,
    `berthd: needs CAP_SYS_ADMIN and CAP_NET_ADMIN, but its bounding set lacks ${missing}: start it with more\n`,
  ]);
  expect(readdirSync(scratch.path)).toEqual([]);
});
