import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { type Globals, globalsOf } from "./globals.ts";
import { print, printError, printJson, printWarnings } from "./output.ts";

interface RenderOptions {
  readonly file: string;
  readonly out?: string;
  readonly config?: string;
  readonly policy?: string;
  readonly explain?: boolean;
  /** Files by container; the empty name is for all. */
  readonly imageConfig: ReadonlyMap<string, string>;
}

export function declareRender(berth: Command): void {
  berth
    .command("render")
    .summary("write the config.json that run would use; needs no berthd")
    .description(
      "Renders config.json for pause and for each app, with placeholder ids, from nothing but the file, the images and the node's config. " +
        "What each runtime will not enforce, and warnings, are told on stderr. Image config, /etc/passwd and /etc/group are read from the oci: layout.",
    )
    .requiredOption("-f, --file <FILE>", "as for run")
    .option("--out <DIR>", "write DIR/CONTAINER/config.json; without it they are printed")
    .option(
      "--image-config <[CONTAINER=]FILE>",
      "an OCI image config to use instead of the image's, for one container or for all",
      collect,
      new Map(),
    )
    .option("--explain", "print config.json with the origin of each value beside it; with -o json: JSON pointer → origin, for each bundle")
    .option("--config <FILE>", "config of berthd with the node's runtime classes (default: /etc/berth/berth.yaml where it exists)")
    .option("--policy <FILE>", "a policy.yaml: its defaults are applied, and what it does not allow is refused (default: no policy at all)")
    .addHelpText(
      "after",
      `
With -o json: {"bundles": [{"container", "config"}], "enforcement": [...], "warnings": [...]}; with --explain each bundle has "provenance" too.

Example:
  berth render -f web.yaml --out bundles && less bundles/web/config.json
  berth render -f web.yaml --image-config web=image.json -o json | jq '.bundles[1].config.process.capabilities'`,
    )
    .action(async (options: RenderOptions, command: Command) => render(options, globalsOf(command)));
}

/** CONTAINER=FILE or FILE; a container's name has no dot or slash, so that paths with "=" can be told apart by "./". */
function collect(text: string, before: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const { container = "", file = "" } = /^(?:(?<container>[a-z0-9][-a-z0-9]*)=)?(?<file>.+)$/s.exec(text)?.groups ?? {};
  if (file === "") throw new InvalidArgumentError("It is not [CONTAINER=]FILE.");
  if (before.has(container)) throw new InvalidArgumentError(`It is given twice for ${container === "" ? "all containers" : container}.`);
  return new Map([...before, [container, file]]);
}

async function render(options: RenderOptions, globals: Globals): Promise<void> {
  const { file, out, explain = false, imageConfig } = options;
  const [{ readSandboxFile, readText }, { renderOffline }, { nodeGrants }, { loadConfig }, { loadPolicy }, { invalidRequest }] =
    await Promise.all([
      import("./file.ts"),
      import("../sandbox/offline.ts"),
      import("../sandbox/node-grants.ts"),
      import("../config.ts"),
      import("../policy-file.ts"),
      import("../errors.ts"),
    ]);
  const { request, warnings } = await readSandboxFile(file, globals);
  const names = request.spec.containers.map(({ name }) => name);
  const stray = [...imageConfig.keys()].filter((name) => name !== "" && !names.includes(name));
  if (stray.length > 0) {
    throw invalidRequest(
      stray.map((name) => ({ field: "--image-config", rule: "names no container of the sandbox", value: name, allowed: names.join(", ") })),
    );
  }
  const imageConfigs = new Map<string, string>();
  for (const [container, path] of imageConfig) imageConfigs.set(container, await readText(path));
  const config = await loadConfig(options.config);
  const policy = options.policy === undefined ? undefined : await loadPolicy(options.policy, config);
  const result = await renderOffline(request, { imageConfigs, config, policy, node: nodeGrants() });
  const { bundles } = result;
  if (out !== undefined) await writeBundles(out, bundles);
  if (globals.json) {
    const configs = bundles.map(({ container, configJson, provenance }) => ({
      container,
      config: JSON.parse(configJson) as unknown,
      ...(explain ? { provenance: Object.fromEntries(provenance.map(({ pointer, kind, source }) => [pointer, { kind, source }])) } : {}),
    }));
    printJson({ bundles: configs, enforcement: result.enforcement, warnings: [...warnings, ...result.warnings] });
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
  printWarnings([...warnings, ...result.warnings]);
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
