import type { Command } from "commander";
import { type Globals, globalsOf } from "./globals.ts";
import { print, printJson } from "./output.ts";

export function declareInspect(berth: Command): void {
  berth
    .command("inspect")
    .summary("show all about a sandbox")
    .description("Shows what was asked for, what berthd found, what the runtime enforces, and how long each stage of the creation took.")
    .argument("<SANDBOX>", "name or full id")
    .addHelpText(
      "after",
      `
Example:
  berth inspect web
  berth inspect web -o json | jq '.status.containers[] | {name, state, exitCode}'`,
    )
    .action(async (sandbox: string, _options: unknown, command: Command) => inspect(sandbox, globalsOf(command)));
}

async function inspect(name: string, globals: Globals): Promise<void> {
  const [{ withSession, getSandbox, messageJson }, { SandboxSchema }, { description }] = await Promise.all([
    import("./session.ts"),
    import("../gen/berth/v1/sandbox_pb.js"),
    import("./describe.ts"),
  ]);
  const sandbox = await withSession(globals, (session) => getSandbox(session, globals, name));
  if (globals.json) printJson(messageJson(SandboxSchema, sandbox));
  else print(description(sandbox));
}
