import { once } from "node:events";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Event, EventsWatchRequestSchema } from "../gen/berth/v1/events_pb.js";
import { EVENT_KINDS } from "../sandbox/event-kinds.ts";
import { type Globals, globalsOf } from "./globals.ts";
import { printable, printError } from "./output.ts";

type Start = MessageInitShape<typeof EventsWatchRequestSchema>["start"];

interface EventsOptions {
  readonly follow?: boolean;
  readonly since?: Start;
  readonly sandbox?: string;
  readonly kind?: string[];
}

export function declareEvents(berth: Command): void {
  berth
    .command("events")
    .summary("print what happened on the node")
    .description(
      "Prints events, oldest first: of all namespaces, or of that of -n. Events are kept for an hour, and for ten minutes when there are more than 100,000; " +
        "those of a deleted sandbox, too.",
    )
    .option("-f, --follow", "go on with what happens from here")
    .option("--since <WHEN>", "begin there: a time (RFC 3339), an age such as 90s, 10m or 1h, or after a cursor", parseSince)
    .option("--sandbox <SANDBOX>", "only of this sandbox: a name in the namespace, or a full id")
    .addOption(
      new Option("--kind <KIND>", "only of this kind; may be repeated").choices(Object.keys(EVENT_KINDS)).argParser<string[]>(parseKind),
    )
    .addHelpText(
      "after",
      `
With -o json: one Event a line; --since takes its "cursor", so that nothing is missed and nothing comes twice.

Example:
  berth events --since 5m
  berth events -f --kind container.exited --kind container.unknown -o json | jq -r '[.name, .container, .exitCode] | @tsv'`,
    )
    .action(async (options: EventsOptions, command: Command) => events(options, globalsOf(command)));
}

async function events({ follow = false, since, sandbox, kind = [] }: EventsOptions, globals: Globals): Promise<void> {
  const [{ withSession, messageJson, isFullId }, { EventSchema }, { eventLine }] = await Promise.all([
    import("./session.ts"),
    import("../gen/berth/v1/events_pb.js"),
    import("./describe.ts"),
  ]);
  const byName = sandbox !== undefined && !isFullId(sandbox);
  const request = {
    start: since ?? { case: "since" as const, value: { seconds: 0n } },
    namespace: globals.namespaceGiven || byName ? globals.namespace : "",
    ...(sandbox === undefined ? {} : byName ? { name: sandbox } : { sandboxId: sandbox }),
    kinds: kind,
    untilNow: !follow,
  };
  const text = (event: Event): string => (globals.json ? JSON.stringify(messageJson(EventSchema, event)) : printable(eventLine(event)));
  let cursor = "";
  try {
    await withSession(globals, async (session) => {
      for await (const answer of session.events.watch(request)) {
        const lines = answer.events.map((event) => `${text(event)}\n`).join("");
        if (lines !== "" && !process.stdout.write(lines)) await once(process.stdout, "drain");
        cursor = answer.cursor || cursor;
      }
    });
  } catch (error) {
    if (cursor !== "") printError(`berth: to go on from here: --since ${cursor}`);
    throw error;
  }
}

function parseKind(kind: string, before: string[] = []): string[] {
  if (!Object.hasOwn(EVENT_KINDS, kind)) throw new InvalidArgumentError(`Allowed choices are ${Object.keys(EVENT_KINDS).join(", ")}.`);
  return [...before, kind];
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

function parseSince(text: string): Start {
  if (/^[0-9a-f]{12}-\d+$/.test(text)) return { case: "cursor", value: text };
  const { count, unit } = /^(?<count>\d+(?:\.\d+)?)(?<unit>[smhd])$/.exec(text)?.groups ?? {};
  const milliseconds = unit === undefined ? timeOf(text) : Date.now() - Number(count) * (UNITS[unit] ?? 0) * 1000;
  if (Number.isNaN(milliseconds))
    throw new InvalidArgumentError("It is not a time such as 2026-11-22T08:00:00Z, an age such as 90s, 10m or 1h, or a cursor.");
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  return { case: "since", value: { seconds: BigInt(seconds), nanos: Math.round(Math.max(0, milliseconds - seconds * 1000)) * 1e6 } };
}

/** RFC 3339 only: Date reads much more, as it likes. */
function timeOf(text: string): number {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : NaN;
}
