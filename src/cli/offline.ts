/** Files rendered without a berthd: what render and diff share. */

import { type Command, InvalidArgumentError } from "commander";
import type { ExplainedResult } from "../sandbox/offline.ts";
import type { Globals } from "./globals.ts";

export interface OfflineFlags {
  readonly config?: string;
  readonly policy?: string;
  /** Files by container; the empty name is for all. */
  readonly imageConfig: ReadonlyMap<string, string>;
}

export function declareOfflineFlags(command: Command): Command {
  return command
    .option(
      "--image-config <[CONTAINER=]FILE>",
      "an OCI image config to use instead of the image's, for one container or for all",
      collect,
      new Map(),
    )
    .option("--config <FILE>", "config of berthd with the node's runtime classes (default: /etc/berth/berth.yaml where it exists)")
    .option(
      "--policy <FILE>",
      "a policy.yaml: its defaults are applied, and what it does not allow is refused (default: no policy at all)",
    );
}

/** CONTAINER=FILE or FILE; a container's name has no dot or slash, so that paths with "=" can be told apart by "./". */
function collect(text: string, before: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const { container = "", file = "" } = /^(?:(?<container>[a-z0-9][-a-z0-9]*)=)?(?<file>.+)$/s.exec(text)?.groups ?? {};
  if (file === "") throw new InvalidArgumentError("It is not [CONTAINER=]FILE.");
  if (before.has(container)) throw new InvalidArgumentError(`It is given twice for ${container === "" ? "all containers" : container}.`);
  return new Map([...before, [container, file]]);
}

export interface RenderedFile {
  readonly result: ExplainedResult;
  /** About the file itself. */
  readonly warnings: readonly string[];
}

/** Renders what each file describes. Throws BerthError. */
export async function renderFiles(files: readonly string[], flags: OfflineFlags, globals: Globals): Promise<RenderedFile[]> {
  const [{ readSandboxFile, readText }, { renderOffline }, { nodeGrants }, { loadConfig }, { loadPolicy }, { invalidRequest }] =
    await Promise.all([
      import("./file.ts"),
      import("../sandbox/offline.ts"),
      import("../sandbox/node-grants.ts"),
      import("../config.ts"),
      import("../policy-file.ts"),
      import("../errors.ts"),
    ]);
  const documents = await Promise.all(files.map((file) => readSandboxFile(file, globals)));
  const names = documents.flatMap(({ request }) => request.spec.containers.map(({ name }) => name));
  const stray = [...flags.imageConfig.keys()].filter((name) => name !== "" && !names.includes(name));
  if (stray.length > 0) {
    throw invalidRequest(
      stray.map((name) => ({ field: "--image-config", rule: "names no container of the sandbox", value: name, allowed: names.join(", ") })),
    );
  }
  const imageConfigs = new Map<string, string>();
  for (const [container, path] of flags.imageConfig) imageConfigs.set(container, await readText(path));
  const config = await loadConfig(flags.config);
  const policy = flags.policy === undefined ? undefined : await loadPolicy(flags.policy, config);
  const options = { imageConfigs, config, policy, node: nodeGrants() };
  return await Promise.all(documents.map(async ({ request, warnings }) => ({ result: await renderOffline(request, options), warnings })));
}
