import type { Command } from "commander";
import { type Globals, globalsOf } from "./globals.ts";
import { declareOfflineFlags, type OfflineFlags, type RenderedFile, renderFiles } from "./offline.ts";
import { print, printError, printJson, printWarnings } from "./output.ts";

interface RenderOptions extends OfflineFlags {
  readonly file: string;
  readonly out?: string;
  readonly explain?: boolean;
}

export function declareRender(berth: Command): void {
  const render = berth
    .command("render")
    .summary("write the config.json that run would use; needs no berthd")
    .description(
      "Renders config.json for pause and for each app, with placeholder ids, from nothing but the file, the images and the node's config. " +
        "What each runtime will not enforce, and warnings, are told on stderr. Image config, /etc/passwd and /etc/group are read from the oci: layout.",
    )
    .requiredOption("-f, --file <FILE>", "as for run")
    .option("--out <DIR>", "write DIR/CONTAINER/config.json; without it they are printed")
    .option("--explain", "print config.json with the origin of each value beside it; with -o json: JSON pointer → origin, for each bundle");
  declareOfflineFlags(render)
    .addHelpText(
      "after",
      `
With -o json: {"bundles": [{"container", "config"}], "enforcement": [...], "warnings": [...]}; with --explain each bundle has "provenance" too.

Example:
  berth render -f web.yaml --out bundles && less bundles/web/config.json
  berth render -f web.yaml --image-config web=image.json -o json | jq '.bundles[1].config.process.capabilities'`,
    )
    .action(async (options: RenderOptions, command: Command) => renderFile(options, globalsOf(command)));
}

async function renderFile({ file, out, explain = false, ...flags }: RenderOptions, globals: Globals): Promise<void> {
  const [rendered] = await renderFiles([file], flags, globals);
  const { result, warnings: ofFile } = rendered as RenderedFile;
  const { bundles } = result;
  const warnings = [...ofFile, ...result.warnings];
  if (out !== undefined) await writeBundles(out, bundles);
  if (globals.json) {
    const configs = bundles.map(({ container, configJson, provenance }) => ({
      container,
      config: JSON.parse(configJson) as unknown,
      ...(explain ? { provenance: Object.fromEntries(provenance.map(({ pointer, kind, source }) => [pointer, { kind, source }])) } : {}),
    }));
    printJson({ bundles: configs, enforcement: result.enforcement, warnings });
    return;
  }
  const { annotate } = await import("../bundle/explain.ts");
  for (const { container, configJson, provenance } of bundles) {
    if (out !== undefined) print(`${out}/${container}/config.json`);
    const text = explain ? annotate(configJson, provenance) : configJson.trimEnd();
    if (out === undefined || explain) print(`==> ${container}/config.json <==\n${text}\n`);
  }
  const { enforcementTable } = await import("./describe.ts");
  const report = enforcementTable(result.enforcement);
  if (report !== "") printError(`enforcement:\n${report}`);
  printWarnings(warnings);
}

async function writeBundles(out: string, bundles: readonly { container: string; configJson: string }[]): Promise<void> {
  const { chmod, mkdir, writeFile } = await import("node:fs/promises");
  for (const { container, configJson } of bundles) {
    await mkdir(`${out}/${container}`, { recursive: true, mode: 0o700 });
    const path = `${out}/${container}/config.json`;
    await writeFile(path, configJson, { mode: 0o600 });
    await chmod(path, 0o600);
  }
}
