import type { Command } from "commander";
import { changeSandbox } from "./change.ts";
import { globalsOf, parseDuration } from "./globals.ts";

export function declareRenew(berth: Command): void {
  berth
    .command("renew")
    .summary("move the time at which a sandbox is stopped by itself")
    .description(
      "Sets the end of the sandbox's lease (spec.expiresAt) to a time from now. Refused when the sandbox changes in between; then renew again.",
    )
    .argument("<SANDBOX>", "name or full id")
    .requiredOption("--for <TIME>", "from now: 90s, 10m, 1h, 2d", parseDuration)
    .addHelpText(
      "after",
      `
Example:
  berth renew web --for 10m`,
    )
    .action(async (sandbox: string, options: { for: number }, command: Command) => {
      const { timestampFromMs } = await import("@bufbuild/protobuf/wkt");
      await changeSandbox(sandbox, globalsOf(command), async (sandboxes, id) => {
        const found = await sandboxes.get({ target: { case: "id", value: id } });
        const resourceVersion = found.sandbox?.metadata?.resourceVersion ?? "";
        return await sandboxes.renewLease({ id, resourceVersion, expiresAt: timestampFromMs(Date.now() + options.for) });
      });
    });
}
