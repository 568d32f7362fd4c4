import type { Command } from "commander";
import type { Sandbox } from "../gen/berth/v1/sandbox_pb.js";
import { type Globals, globalsOf } from "./globals.ts";
import { print, printJson, table } from "./output.ts";

export function declarePs(berth: Command): void {
  berth
    .command("ps")
    .summary("list sandboxes")
    .description("Lists the sandboxes of the namespace, ended ones too, ordered by namespace and name.")
    .option("-A, --all-namespaces", "list those of every namespace")
    .addHelpText(
      "after",
      `
With -o json: {"sandboxes": [...]}, each as inspect prints it.

Example:
  berth ps -A
  berth ps -n team-a -o json | jq -r '.sandboxes[].metadata.id'`,
    )
    .action(async ({ allNamespaces = false }: { allNamespaces?: boolean }, command: Command) => ps(allNamespaces, globalsOf(command)));
}

async function ps(allNamespaces: boolean, globals: Globals): Promise<void> {
  const [{ withSession, messageJson }, { SandboxSchema }] = await Promise.all([
    import("./session.ts"),
    import("../gen/berth/v1/sandbox_pb.js"),
  ]);
  const found: Sandbox[] = await withSession(globals, async ({ sandboxes }) => {
    const all: Sandbox[] = [];
    let pageToken = "";
    do {
      const page = await sandboxes.list({ namespace: allNamespaces ? "" : globals.namespace, pageSize: 500, pageToken });
      all.push(...page.sandboxes);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return all;
  });
  if (globals.json) printJson({ sandboxes: found.map((sandbox) => messageJson(SandboxSchema, sandbox)) });
  else print(await listing(found, allNamespaces));
}

async function listing(sandboxes: readonly Sandbox[], withNamespace: boolean): Promise<string> {
  const { age, stateOf } = await import("./describe.ts");
  const { ContainerState } = await import("../gen/berth/v1/sandbox_pb.js");
  const namespace = (text: string) => (withNamespace ? [text] : []);
  return table([
    [...namespace("NAMESPACE"), "NAME", "STATE", "RUNNING", "CLASS", "AGE", "ID"],
    ...sandboxes.map((sandbox) => {
      const { metadata, spec, status } = sandbox;
      const containers = status?.containers ?? [];
      const running = containers.filter(({ state }) => state === ContainerState.RUNNING).length;
      return [
        ...namespace(metadata?.namespace ?? ""),
        metadata?.name ?? "",
        stateOf(sandbox),
        `${running}/${containers.length}`,
        status?.runtime?.className || spec?.runtimeClassName || "-",
        age(metadata?.createdAt, Date.now()),
        metadata?.id ?? "",
      ];
    }),
  ]);
}
