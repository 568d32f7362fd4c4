import { type Command, InvalidArgumentError, Option } from "commander";
import { socketPath } from "../api/unix-socket.ts";

/** What every command takes. */
export interface Globals {
  /** unix:///PATH of berthd. */
  readonly address: string;
  readonly namespace: string;
  /** Whether -n was written: a file that names another namespace is then refused. */
  readonly namespaceGiven: boolean;
  readonly json: boolean;
}

export function declareGlobals(berth: Command): void {
  berth
    .addOption(
      new Option("--address <unix:///PATH>", "socket of berthd")
        .env("BERTH_ADDRESS")
        .default("unix:///run/berth/berthd.sock")
        .argParser(parseAddress),
    )
    .option("-n, --namespace <namespace>", "namespace of the sandbox", "default")
    .addOption(
      new Option("-o, --output <format>", "text for people, or the protobuf JSON of the API").choices(["text", "json"]).default("text"),
    );
}

export function globalsOf(command: Command): Globals {
  const { address, namespace, output } = command.optsWithGlobals<{ address: string; namespace: string; output: string }>();
  const namespaceGiven = command.getOptionValueSourceWithGlobals("namespace") === "cli";
  return { address, namespace, namespaceGiven, json: output === "json" };
}

function parseAddress(text: string): string {
  if (socketPath(text) === undefined) throw new InvalidArgumentError("It is not unix:///PATH with an absolute path.");
  return text;
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** 90s, 10m, 1h, 2d, in milliseconds. */
export function parseDuration(text: string): number {
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const milliseconds = Number(count) * (UNITS[unit] ?? 0);
  if (!(milliseconds > 0)) throw new InvalidArgumentError("It is not a time such as 90s, 10m, 1h or 2d.");
  return milliseconds;
}

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() === "" || !(seconds >= 0 && seconds <= 3600))
    throw new InvalidArgumentError("It is not a number of seconds from 0 to 3600.");
  return seconds;
}
