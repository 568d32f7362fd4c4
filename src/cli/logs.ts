import type { Command } from "commander";
import type { LogEntry } from "../gen/berth/v1/sandboxes_pb.js";
import { type Globals, globalsOf } from "./globals.ts";
import { writeBytes } from "./output.ts";

interface LogsOptions {
  readonly container?: string;
  readonly timestamps?: boolean;
}

export function declareLogs(berth: Command): void {
  berth
    .command("logs")
    .summary("print what a container has written")
    .description(
      "Prints what a container has written so far, byte for byte: its stdout to stdout, its stderr to stderr. " +
        "The logs of a sandbox stay until it is deleted.",
    )
    .argument("<SANDBOX>", "name or full id")
    .option("-c, --container <NAME>", "container; may be left out when there is one app")
    .option("-t, --timestamps", "begin each line with the time at which it was read")
    .addHelpText(
      "after",
      `
With -o json: one LogEntry a line, its data in base64.

Example:
  berth logs web -c sidecar -t 2>/dev/null`,
    )
    .action(async (sandbox: string, options: LogsOptions, command: Command) => logs(sandbox, options, globalsOf(command)));
}

async function logs(name: string, { container = "", timestamps = false }: LogsOptions, globals: Globals): Promise<void> {
  const [{ withSession, resolveId, messageJson }, { LogEntrySchema, LogStream }] = await Promise.all([
    import("./session.ts"),
    import("../gen/berth/v1/sandboxes_pb.js"),
  ]);
  const stdout = new LineWriter(process.stdout, timestamps);
  const stderr = new LineWriter(process.stderr, timestamps);
  await withSession(globals, async (session) => {
    const id = await resolveId(session, globals, name);
    for await (const { entries } of session.sandboxes.logs({ id, container })) {
      for (const entry of entries) {
        if (globals.json) await writeBytes(process.stdout, Buffer.from(`${JSON.stringify(messageJson(LogEntrySchema, entry))}\n`));
        else await (entry.stream === LogStream.STDERR ? stderr : stdout).write(entry);
      }
    }
  });
}

/** One of the two outputs. Only whole lines get a line feed, so that the bytes are those that were written. */
class LineWriter {
  readonly #output: NodeJS.WriteStream;
  readonly #timestamps: boolean;
  #inLine = false;

  constructor(output: NodeJS.WriteStream, timestamps: boolean) {
    this.#output = output;
    this.#timestamps = timestamps;
  }

  async write(entry: LogEntry): Promise<void> {
    const prefix = this.#timestamps && !this.#inLine ? `${timeText(entry)} ` : "";
    this.#inLine = entry.partial;
    await writeBytes(this.#output, Buffer.concat([Buffer.from(prefix), entry.data, Buffer.from(entry.partial ? "" : "\n")]));
  }
}

/** RFC 3339 with nanoseconds. */
function timeText({ time }: LogEntry): string {
  if (!time) return "-";
  const second = new Date(Number(time.seconds) * 1000).toISOString().slice(0, 19);
  return `${second}.${String(time.nanos).padStart(9, "0")}Z`;
}
