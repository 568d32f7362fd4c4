import type { Command } from "commander";
import { type Globals, globalsOf, parseSeconds } from "./globals.ts";
import { print, printJson } from "./output.ts";

export function declareStop(berth: Command): void {
  berth
    .command("stop")
    .summary("end the apps of a sandbox; its exit codes and logs stay")
    .description(
      "Sends each app its stop signal, after the grace KILL, and then ends pause. The record, exit codes and logs stay until rm.",
    )
    .argument("<SANDBOX>", "name or full id")
    .option("--grace <SECONDS>", "time between the stop signal and KILL, 0 to 3600", parseSeconds, 10)
    .addHelpText(
      "after",
      `
Example:
  berth stop web --grace 30`,
    )
    .action(async (sandbox: string, { grace }: { grace: number }, command: Command) => stop(sandbox, grace, globalsOf(command)));
}

async function stop(name: string, grace: number, globals: Globals): Promise<void> {
  const [{ withSession, resolveId, present, duration, messageJson }, { SandboxSchema }, { summary }] = await Promise.all([
    import("./session.ts"),
    import("../gen/berth/v1/sandbox_pb.js"),
    import("./describe.ts"),
  ]);
  const answer = await withSession(globals, async (session) => {
    const id = await resolveId(session, globals, name);
    return session.sandboxes.stop({ id, gracePeriod: duration(grace) });
  });
  const sandbox = present(answer.sandbox);
  if (globals.json) printJson(messageJson(SandboxSchema, sandbox));
  else print(summary(sandbox));
}
