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

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() === "" || !(seconds >= 0 && seconds <= 3600))
    throw new InvalidArgumentError("It is not a number of seconds from 0 to 3600.");
  return seconds;
}
