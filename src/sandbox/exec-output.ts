/** The outputs of a program as one sequence that is read no faster than it is taken. */

import type { Readable } from "node:stream";

/** For what lies in a pipe already to be read after the program's end. Who still holds the pipe then is not waited for. */
const LINGER_MS = 200;

export interface Output {
  readonly stream: "stdout" | "stderr";
  readonly data: Buffer;
}

/**
 * What the streams give, until all have ended; after `ended` (the program's own end) only as long as something still comes. Nothing is read
 * ahead but each stream's own buffer.
 */
export async function* outputOf(streams: ReadonlyMap<Output["stream"], Readable>, ended: Promise<unknown>): AsyncGenerator<Output> {
  const open = new Set([...streams].map(([name, stream]) => ({ name, stream, over: false })));
  let over = false;
  let wake = (): void => undefined;
  const programEnded = (): void => {
    over = true;
    wake();
  };
  ended.then(programEnded, programEnded);
  for (const source of open) {
    const end = (): void => {
      source.over = true;
      wake();
    };
    // A terminal whose program has gone answers EIO.
    source.stream
      .on("readable", () => wake())
      .on("end", end)
      .on("error", end)
      .on("close", end);
  }
  for (;;) {
    const { promise, resolve } = Promise.withResolvers<"more" | "silence">();
    wake = () => resolve("more");
    let got = false;
    for (const source of open) {
      const data = source.stream.read() as Buffer | null;
      if (data !== null) {
        got = true;
        yield { stream: source.name, data };
      } else if (source.over) {
        open.delete(source);
      }
    }
    if (open.size === 0) return;
    if (got) continue;
    const patience = over ? setTimeout(() => resolve("silence"), LINGER_MS) : undefined;
    const next = await promise;
    clearTimeout(patience);
    if (next === "silence") return;
  }
}
