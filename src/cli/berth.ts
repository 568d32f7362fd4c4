#!/usr/bin/env node
/** berth, the command line of berthd. Each command declares itself in a file of its own and loads what is heavy only when it runs. */

import { Command, CommanderError } from "commander";
import { VERSION } from "../observe/version.ts";
import { declareCheck } from "./check.ts";
import { declareEvents } from "./events.ts";
import { declareExec } from "./exec.ts";
import { report, ToldError } from "./failure.ts";
import { declareGlobals, globalsOf } from "./globals.ts";
import { declareDiff } from "./diff.ts";
import { declareInspect } from "./inspect.ts";
import { declareLogs } from "./logs.ts";
import { declareNode } from "./node.ts";
import { declarePause } from "./pause.ts";
import { declarePs } from "./ps.ts";
import { declareRenew } from "./renew.ts";
import { declareRender } from "./render.ts";
import { declareResume } from "./resume.ts";
import { declareRm } from "./rm.ts";
import { declareRun } from "./run.ts";
import { declareStart } from "./start.ts";
import { declareStop } from "./stop.ts";

const DONE = 0;
const FAILED = 1;
const WRONG_USAGE = 2;

function program(): Command {
  const berth = new Command("berth")
    .description(
      "Runs sandboxes on this node: talks to berthd over its unix socket, or renders their config.json and checks their files without it.",
    )
    .version(VERSION, "-V, --version", "print the version")
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();
  declareGlobals(berth);
  const commands = [
    declareRun,
    declarePs,
    declareInspect,
    declareLogs,
    declareEvents,
    declareExec,
    declareStart,
    declareStop,
    declarePause,
    declareResume,
    declareRenew,
    declareRm,
    declareRender,
    declareDiff,
    declareCheck,
    declareNode,
  ];
  for (const declare of commands) declare(berth);
  return berth.addHelpText(
    "after",
    `
SANDBOX is a name in the namespace of -n, or a full id (32 hex digits).
Options that stand above the commands are taken before and after the command.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage; exec has those of the program, diff of its own.

Example:
  berth run -f web.yaml
  berth ps
  berth logs web
  berth rm web`,
  );
}

async function main(args: readonly string[]): Promise<number> {
  const berth = program();
  try {
    await berth.parseAsync(args, { from: "user" });
    return DONE;
  } catch (error) {
    // commander has said what is wrong; help and version that were asked for are no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? DONE : WRONG_USAGE;
    if (error instanceof ToldError) return error.exitCode;
    report(error, globalsOf(berth).json);
    return FAILED;
  }
}

// A reader that has seen enough, such as head, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(DONE);
  throw error;
});
process.exitCode = await main(process.argv.slice(2));
