import type { Command } from "commander";
import type { NodeInfoResponse } from "../gen/berth/v1/node_pb.js";
import { type Globals, globalsOf } from "./globals.ts";
import { print, printJson, table } from "./output.ts";

export function declareNode(berth: Command): void {
  const shown = berth
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
  shown
    .command("drain")
    .summary("take no new sandboxes; those that run go on")
    .description("From now on, also after a restart of berthd, nothing is created or started here, and the health checks say NOT_SERVING.")
    .action(async (_options: unknown, command: Command) => setDrain(true, globalsOf(command)));
  shown
    .command("undrain")
    .summary("take new sandboxes again")
    .description("Undoes drain.")
    .action(async (_options: unknown, command: Command) => setDrain(false, globalsOf(command)));
}

async function setDrain(drained: boolean, globals: Globals): Promise<void> {
  const { withSession } = await import("./session.ts");
  await withSession(globals, async ({ node }) => (drained ? node.drain({}) : node.undrain({})));
  if (globals.json) printJson({ draining: drained });
  else print(drained ? "the node takes no new sandboxes" : "the node takes new sandboxes");
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
    ["new sandboxes", info.draining ? "refused (drained)" : "taken"],
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
