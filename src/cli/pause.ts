import type { Command } from "commander";
import { changeSandbox } from "./change.ts";
import { globalsOf } from "./globals.ts";

export function declarePause(berth: Command): void {
  berth
    .command("pause")
    .summary("freeze every process of a sandbox")
    .description("Every process of the apps stands still until resume. Under runsc that is the whole sandbox.")
    .argument("<SANDBOX>", "name or full id")
    .addHelpText(
      "after",
      `
Example:
  berth pause web`,
    )
    .action(async (sandbox: string, _options: object, command: Command) =>
      changeSandbox(sandbox, globalsOf(command), (sandboxes, id) => sandboxes.pause({ id })),
    );
}
