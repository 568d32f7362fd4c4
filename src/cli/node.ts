import type { Command } from "commander";
import type { NodeInfoResponse } from "../gen/berth/v1/node_pb.js";
import { type Globals, globalsOf } from "./globals.ts";
import { print, printJson, table } from "./output.ts";

export function declareNode(berth: Command): void {
  berth
    .command("node")
    .summary("show this node and its runtime classes")
    .description("Shows the node and, for each runtime class, whether sandboxes can be created with it now, and why not.")
    .addHelpText(
      "after",
      `
Example:
  berth node
  berth node -o json | jq '.runtimeClasses[] | select(.ready) | .name'`,
    )
    .action(async (_options: unknown, command: Command) => node(globalsOf(command)));
}

async function node(globals: Globals): Promise<void> {
  const [{ withSession, messageJson }, { NodeInfoResponseSchema }] = await Promise.all([
    import("./session.ts"),
    import("../gen/berth/v1/node_pb.js"),
  ]);
  const info = await withSession(globals, (session) => session.node.info({}));
  if (globals.json) printJson(messageJson(NodeInfoResponseSchema, info));
  else print(description(info));
}

function description(info: NodeInfoResponse): string {
  const head = [
    ["berthd", info.version],
    ["host", info.hostname],
    ["system", `${info.operatingSystem}, Linux ${info.kernelVersion}, ${info.architecture}`],
    ["cpus", String(info.cpus)],
    ["memory", `${(Number(info.memoryBytes) / 2 ** 30).toFixed(1)} GiB`],
    ["cgroups", info.cgroupLayout],
  ];
  const classes = info.runtimeClasses.map((entry) => [
    [entry.name, ...entry.aliases].join(", "),
    entry.adapter,
    entry.ready ? "yes" : "no",
    entry.version || "-",
    entry.platform || "-",
    entry.binary || "-",
    [entry.message, entry.features.join(" ")].filter((text) => text !== "").join("; ") || "-",
  ]);
  return `${table(head)}\n\n${table([["CLASS", "ADAPTER", "READY", "VERSION", "PLATFORM", "BINARY", "NOTE"], ...classes])}`;
}
