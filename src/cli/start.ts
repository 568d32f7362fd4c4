import type { Command } from "commander";
import { changeSandbox } from "./change.ts";
import { globalsOf } from "./globals.ts";

export function declareStart(berth: Command): void {
  berth
    .command("start")
    .summary("run a sandbox that has ended once more, on what it has written")
    .description(
      "Starts new processes in a sandbox that is STOPPED, COMPLETED or FAILED. What its containers have written is there; images are those that it was created from.",
    )
    .argument("<SANDBOX>", "name or full id")
    .addHelpText(
      "after",
      `
Example:
  berth start web`,
    )
    .action(async (sandbox: string, _options: object, command: Command) =>
      changeSandbox(sandbox, globalsOf(command), (sandboxes, id) => sandboxes.start({ id })),
    );
}
