import type { Command } from "commander";
import { changeSandbox } from "./change.ts";
import { globalsOf, parseSeconds } from "./globals.ts";

export function declareStop(berth: Command): void {
  berth
    .command("stop")
    .summary("end the apps of a sandbox; its exit codes and logs stay")
    .description(
      "Sends each app its stop signal, after the grace KILL, and then ends pause. The record, exit codes and logs stay until rm.",
    )
    .argument("<SANDBOX>", "name or full id")
    .option("--grace <SECONDS>", "time between the stop signal and KILL, 0 to 3600; else the spec's, or 10", parseSeconds)
    .addHelpText(
      "after",
      `
Example:
  berth stop web --grace 30`,
    )
    .action(async (sandbox: string, { grace }: { grace?: number }, command: Command) => {
      const { gracePeriod } = await import("./session.ts");
      await changeSandbox(sandbox, globalsOf(command), (sandboxes, id) => sandboxes.stop({ id, ...gracePeriod(grace) }));
    });
}
