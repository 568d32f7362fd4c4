/** A /bin/sh that runs scripts for the bare side: started once, so that what is timed is the script and no start of a shell or of Node. */

import { type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

/** What a script said with echo, and when, in milliseconds since it was started. */
export interface Mark {
  readonly text: string;
  readonly at: number;
}

/**
 * What the bench was started with beside the standard descriptors must not go on to the runtimes, as it does not from berthd: a
 * descriptor of 192 or more makes runsc some 10 ms faster, because its table has the size that runsc wants from the start.
 */
const CLOSE_INHERITED = 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done;';

export class Shell implements Disposable {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  #onLine: (line: string) => void = () => undefined;
  #onEnd: () => void = () => undefined;

  /** Scripts have descriptor 4: a fifo that they may give to programs to report to, and read from. */
  constructor(dir: string) {
    const fifo = join(dir, "reports");
    execFileSync("mkfifo", [fifo]);
    const loop = 'exec 4<>"$1"; while IFS= read -r script; do . "$script"; echo "== done"; done';
    const command = ["-c", `${CLOSE_INHERITED} exec /bin/sh -c "$0" sh "$1"`, loop, fifo];
    this.#process = spawn("/bin/bash", command, { stdio: ["pipe", "pipe", "inherit"], detached: true });
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#onLine(line));
    this.#process.once("exit", () => this.#onEnd());
    this.#process.stdin.on("error", () => undefined); // the end of the shell tells
  }

  /** Runs a script file to its end. */
  async run(script: string): Promise<Mark[]> {
    const marks: Mark[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<Mark[]>();
    const started = performance.now();
    this.#onEnd = () => reject(new Error("the shell of the bare side has ended"));
    this.#onLine = (text) => {
      marks.push({ text, at: performance.now() - started });
      if (text === "== done") resolve(marks);
    };
    this.#process.stdin.write(`${script}\n`);
    return await promise;
  }

  [Symbol.dispose](): void {
    this.#process.stdin.end();
    this.#process.kill("SIGKILL");
  }
}

/** A word of a shell command, whatever is in it. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
