import type { Command } from "commander";
import { type Globals, globalsOf, parseSeconds } from "./globals.ts";
import { print, printJson } from "./output.ts";

export function declareRm(berth: Command): void {
  berth
    .command("rm")
    .summary("stop a sandbox if it runs, and remove everything of it")
    .description(
      "Stops the sandbox (stop signal, grace, KILL) when it runs, then removes its containers, files, logs and record. A creation that still runs is cancelled. " +
        "A name that is not there is an error; an id that is not there is not: it is gone, as was wanted.",
    )
    .argument("<SANDBOX>", "name or full id")
    .option("--grace <SECONDS>", "time between the stop signal and KILL, 0 to 3600; else the spec's, or 10", parseSeconds)
    .addHelpText(
      "after",
      `
With -o json: {"existed": true or false}.

Example:
  berth rm web --grace 0`,
    )
    .action(async (sandbox: string, { grace }: { grace?: number }, command: Command) => rm(sandbox, grace, globalsOf(command)));
}

async function rm(name: string, grace: number | undefined, globals: Globals): Promise<void> {
  const { withSession, resolveId, gracePeriod } = await import("./session.ts");
  const { existed } = await withSession(globals, async (session) => {
    const id = await resolveId(session, globals, name);
    return session.sandboxes.delete({ id, ...gracePeriod(grace) });
  });
  if (globals.json) printJson({ existed });
  else print(existed ? `removed ${name}` : `there was no sandbox ${name}`);
}
