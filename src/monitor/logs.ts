/** Reads the k8s-file logs that conmon writes: `TIME STREAM F|P TEXT`, F for a whole line, P for a part of one. */

import { createReadStream, existsSync } from "node:fs";

export interface LogRecord {
  /** RFC 3339 with nanoseconds. */
  readonly time: string;
  readonly stream: "stdout" | "stderr";
  /** No line feed followed. */
  readonly partial: boolean;
  readonly data: Buffer;
}

/** All records of a log, oldest first, in pieces of what one read gave. A log that is not there is empty. */
export async function* readLog(file: string): AsyncGenerator<LogRecord[]> {
  if (!existsSync(file)) return;
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { highWaterMark: 64 * 1024 })) {
    const bytes = Buffer.concat([rest, chunk as Buffer]);
    const end = bytes.lastIndexOf(0x0a) + 1;
    rest = bytes.subarray(end);
    const records = parseLines(bytes.subarray(0, end));
    if (records.length > 0) yield records;
  }
}

/** Lines that are no records are left out: conmon writes nothing else, a torn one can only stand at the end after a crash of the node. */
export function parseLines(bytes: Buffer): LogRecord[] {
  const records: LogRecord[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0x0a, start);
    const record = parseLine(bytes.subarray(start, end === -1 ? bytes.length : end));
    if (record) records.push(record);
    start = end === -1 ? bytes.length : end + 1;
  }
  return records;
}

function parseLine(line: Buffer): LogRecord | undefined {
  const head = /^(\S+) (stdout|stderr) ([FP]) /.exec(line.subarray(0, 80).toString("latin1"));
  if (!head) return undefined;
  const [all, time = "", stream, tag] = head;
  return { time, stream: stream === "stderr" ? "stderr" : "stdout", partial: tag === "P", data: line.subarray(all.length) };
}
