// Makes dist/: one JavaScript file that needs no node_modules, and beside it what cannot be JavaScript.
import { chmodSync, copyFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const KOFFI_BINARY = join(ROOT, "node_modules/@koromix/koffi-linux-x64/linux_x64/koffi.node");

/**
 * A young generation of 2 MB a half keeps berthd below 100 MB (measured: 97 instead of 108 to 140); a first line takes one flag only.
 * CommonJS packages in an ES module want `require` and their place.
 */
const BANNER = [
  "#!/usr/lib/berth/node --max-semi-space-size=2",
  'import { createRequire as berthCreateRequire } from "node:module";',
  'import { dirname as berthDirname } from "node:path";',
  'import { fileURLToPath as berthFileURLToPath } from "node:url";',
  "const require = berthCreateRequire(import.meta.url);",
  "const __filename = berthFileURLToPath(import.meta.url);",
  "const __dirname = berthDirname(__filename);",
].join("\n");

/** Lets koffi load its binary from beside the bundle; it looks for it in node_modules by itself. */
const koffiBesideBundle: Plugin = {
  name: "koffi-beside-bundle",
  setup(building) {
    const contents = `import { createRequire } from "node:module";
      export function loadStatic() { return createRequire(import.meta.url)("./koffi.node"); }`;
    building.onLoad({ filter: /\/koffi\/src\/koffi\/src\/static\.js$/ }, () => ({ contents, loader: "js" }));
  },
};

/** Builds into a folder, which is emptied first. */
export async function buildInto(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await build({
    absWorkingDir: ROOT,
    entryPoints: ["src/dev/bundle-entry.ts"],
    outfile: join(folder, "berth.mjs"),
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    banner: { js: BANNER },
    plugins: [koffiBesideBundle],
    // V8 keeps the text of what it runs. Names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    logLevel: "warning",
  });
  chmodSync(join(folder, "berth.mjs"), 0o755);
  copyFileSync(KOFFI_BINARY, join(folder, "koffi.node"));
  copyScripts(folder);
}

/** Source finds a script by `new URL("./x.sh", import.meta.url)`: in the bundle all of them stand beside it. */
function copyScripts(folder: string): void {
  const scripts = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".sh"));
  const names = scripts.map((file) => basename(file));
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new Error(`two scripts below src are called ${twice}: their names must differ, they stand in one folder`);
  for (const script of scripts) {
    copyFileSync(join(ROOT, "src", script), join(folder, basename(script)));
    chmodSync(join(folder, basename(script)), 0o755);
  }
}

if (import.meta.main) await buildInto(join(ROOT, "dist"));
