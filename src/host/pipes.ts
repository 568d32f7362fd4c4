/** Pipes between berthd and a program that it spawns: Node's ends are streams of the event loop, the program's are descriptors. */

import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { pipe } from "./libc.ts";

/** The program's end is the caller's to close, once the program has it. */
export interface Pipe {
  readonly stream: Socket;
  readonly programEnd: number;
}

/** What the program writes comes out of the stream. */
export function pipeFromProgram(): Pipe {
  const [read, write] = pipe();
  return { stream: socketOf(read, write, { readable: true, writable: false }), programEnd: write };
}

/** What is written to the stream is read by the program. */
export function pipeToProgram(): Pipe {
  const [read, write] = pipe();
  return { stream: socketOf(write, read, { readable: false, writable: true }), programEnd: read };
}

function socketOf(fd: number, other: number, directions: { readable: boolean; writable: boolean }): Socket {
  try {
    return new Socket({ fd, ...directions });
  } catch (error) {
    closeSync(fd);
    closeSync(other);
    throw error;
  }
}
