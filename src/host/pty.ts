/** A pseudo-terminal between berthd and a program that it spawns. */

import { closeSync, constants, openSync } from "node:fs";
import { ReadStream } from "node:tty";
import { ioctl } from "./libc.ts";

export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
}

/** berthd's end. Reads and writes by the event loop; ends with an error (EIO) when nobody has the program's end any more. */
export class Terminal {
  readonly stream: ReadStream;
  /** Path of the program's end. */
  readonly path: string;
  readonly #fd: number;

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.path = path;
    this.stream = new ReadStream(fd);
  }

  /** Errors: Node's and SystemError, such as when the node has no more terminals. */
  static open(size: WindowSize): Terminal {
    const fd = openSync("/dev/ptmx", constants.O_RDWR | constants.O_NOCTTY);
    try {
      ioctl(fd, TIOCSPTLCK, Buffer.alloc(4));
      const number = Buffer.alloc(4);
      ioctl(fd, TIOCGPTN, number);
      setWindowSize(fd, size);
      return new Terminal(fd, `/dev/pts/${number.readUInt32LE()}`);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Whoever has the terminal in the foreground gets SIGWINCH. Nothing after the stream's end. */
  resize(size: WindowSize): void {
    if (!this.stream.destroyed) setWindowSize(this.#fd, size);
  }
}

function setWindowSize(fd: number, { columns, rows }: WindowSize): void {
  const winsize = Buffer.alloc(8);
  winsize.writeUInt16LE(rows, 0);
  winsize.writeUInt16LE(columns, 2);
  ioctl(fd, TIOCSWINSZ, winsize);
}

const TIOCSPTLCK = 0x40045431;
const TIOCGPTN = 0x80045430;
const TIOCSWINSZ = 0x5414;
