import type { Command } from "commander";
import { changeSandbox } from "./change.ts";
import { globalsOf } from "./globals.ts";

export function declareResume(berth: Command): void {
  berth
    .command("resume")
    .summary("let the processes of a paused sandbox go on")
    .description("Lets every process of a sandbox that was paused go on where it was.")
    .argument("<SANDBOX>", "name or full id")
    .addHelpText(
      "after",
      `
Example:
  berth resume web`,
    )
    .action(async (sandbox: string, _options: object, command: Command) =>
      changeSandbox(sandbox, globalsOf(command), (sandboxes, id) => sandboxes.resume({ id })),
    );
}
