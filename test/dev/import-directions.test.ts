import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";

interface Violation {
  readonly from: string;
  readonly rule: { readonly name: string };
}

/** What dependency-cruiser says of a tree of these files under berth's rules. */
function cruise(files: Readonly<Record<string, string>>): Violation[] {
  const folder = mkdtempSync(join(tmpdir(), "berth-arrows-"));
  try {
    for (const file of [".dependency-cruiser.mjs", "tsconfig.json", "package.json"]) cpSync(file, join(folder, file));
    symlinkSync(resolve("node_modules"), join(folder, "node_modules"));
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const given = ["--config", ".dependency-cruiser.mjs", "--output-type", "json", "src"];
    const cruised = spawnSync(resolve("node_modules/.bin/depcruise"), given, { cwd: folder, encoding: "utf8" });
    const { summary } = JSON.parse(cruised.stdout) as { summary: { violations: Violation[] } };
    return summary.violations;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const ROOMS = {
  "src/errors.ts": "export const e = 1;\n",
  "src/host/files.ts": 'import koffi from "koffi";\nimport { e } from "../errors.ts";\nexport const f = [koffi, e];\n',
  "src/bundle/render.ts":
    'import { join } from "node:path";\nimport type { S } from "../sandbox/spec.ts";\nexport const r = (s: S) => join("a", s);\n',
  "src/bundle/write.ts": 'import { f } from "../host/files.ts";\nimport { r } from "./render.ts";\nexport const w = [f, r];\n',
  "src/sandbox/spec.ts": 'import { z } from "zod";\nexport type S = string;\nexport const s = z.string();\n',
  "src/sandbox/create.ts": 'import { r } from "../bundle/render.ts";\nimport { w } from "../bundle/write.ts";\nexport const c = [r, w];\n',
  "src/api/server.ts": 'import { c } from "../sandbox/create.ts";\nexport const a = c;\n',
  "src/api/client.ts": "export const k = 1;\n",
  "src/cli/berth.ts": 'import { s } from "../sandbox/spec.ts";\nimport { k } from "../api/client.ts";\nexport const b = [s, k];\n',
  "src/cli/render.ts": 'import { r } from "../bundle/render.ts";\nexport const b = r;\n',
  "src/daemon.ts": 'import { a } from "./api/server.ts";\nimport { w } from "./bundle/write.ts";\nexport const d = [a, w];\n',
  "src/main.ts": 'import { d } from "./daemon.ts";\nexport const m = d;\n',
};

/** Title, a file that goes against an arrow, what it imports, and the rules that it breaks. */
const WRONG: readonly (readonly [string, string, string, readonly string[]])[] = [
  ["a pure room reads files", "src/bundle/a.ts", 'import "node:fs";', ["pure-rooms-touch-nothing"]],
  ["a pure room reaches the writer", "src/bundle/b.ts", 'import "./write.ts";', ["pure-rooms-import-pure-code"]],
  ["a pure room reaches host", "src/policy/c.ts", 'import "../host/files.ts";', ["pure-rooms-import-pure-code"]],
  ["a pure room runs commands", "src/bundle/d.ts", 'import "execa";', ["execa-in-host", "pure-rooms-run-nothing"]],
  ["a room calls sandbox", "src/runtime/e.ts", 'import "../sandbox/create.ts";', ["rooms-below-sandbox"]],
  ["host knows berth", "src/host/f.ts", 'import "../monitor/leaf.ts";', ["host-is-a-port"]],
  ["sandbox calls api", "src/sandbox/g.ts", 'import "../api/server.ts";', ["cli-and-api-on-top"]],
  ["api calls a room", "src/api/h.ts", 'import "../bundle/render.ts";', ["api-decides-nothing"]],
  ["cli calls api", "src/cli/i.ts", 'import "../api/server.ts";', ["cli-is-a-client", "cli-not-server"]],
  ["cli constructs rooms", "src/cli/ps.ts", 'import "../bundle/render.ts";', ["cli-is-a-client"]],
  ["somebody else constructs", "src/sandbox/k.ts", 'import "../daemon.ts";', ["daemon-constructs"]],
  ["the wire leaks", "src/sandbox/l.ts", 'import type { X } from "../gen/x.ts";\nexport type Y = X;', ["gen-is-the-wire"]],
  ["koffi outside of host", "src/rootfs/m.ts", 'import "koffi";', ["koffi-in-host"]],
  ["what is shipped needs dev", "src/image/n.ts", 'import "../dev/x.ts";', ["nobody-imports-dev"]],
  ["what is shipped needs a development package", "src/image/o.ts", 'import "esbuild";', ["no-dev-packages"]],
  ["a package that is not declared", "src/image/p.ts", 'import "protobufjs";', ["no-undeclared-packages"]],
  ["an import that leads nowhere", "src/image/q.ts", 'import "./nothing.ts";', ["resolvable"]],
  ["a cycle", "src/image/cycle-back.ts", 'import "./cycle.ts";', ["no-cycles"]],
];

const LEAVES = { "src/gen/x.ts": "export type X = 1;\n", "src/dev/x.ts": "export {};\n", "src/monitor/leaf.ts": "export {};\n" };

test("imports along the arrows are fine, and types may be named against them", () => {
  expect(cruise({ ...ROOMS, ...LEAVES })).toEqual([]);
});

test("imports against the arrows are refused", () => {
  const back = { "src/image/cycle.ts": 'import "./cycle-back.ts";\n' };
  const violations = cruise({ ...ROOMS, ...LEAVES, ...back, ...Object.fromEntries(WRONG.map(([, path, text]) => [path, `${text}\n`])) });
  const found = WRONG.map(([title, path]) => [
    title,
    violations
      .filter(({ from }) => from === path)
      .map(({ rule }) => rule.name)
      .sort(),
  ]);
  expect(found).toEqual(WRONG.map(([title, , , rules]) => [title, rules]));
});
