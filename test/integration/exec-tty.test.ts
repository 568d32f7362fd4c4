import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, test } from "vitest";
import type { SandboxesExecRequestSchema } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { CLASSES } from "./node.ts";
import { create, idOf, refusalFrom, sharedNode, shell, waitFor } from "./life-support/support.ts";

const BERTH = fileURLToPath(new URL("../../src/cli/berth.ts", import.meta.url));
const node = sharedNode({}, "once");

type Request = MessageInitShape<typeof SandboxesExecRequestSchema>;

/** A program with a terminal, and somebody who types. */
class Typist {
  screen = "";
  exitCode: number | undefined;
  readonly ended: Promise<void>;
  readonly #queue: Request["message"][] = [];
  #wake = (): void => undefined;
  #left = false;

  constructor(start: { id: string; command: string[] }, terminalSize = { columns: 99, rows: 33 }) {
    this.#queue.push({ case: "start", value: { ...start, tty: true, stdin: true, terminalSize } });
    this.ended = this.#read();
  }

  send(message: Request["message"]): void {
    this.#queue.push(message);
    this.#wake();
  }

  type(text: string): void {
    this.send({ case: "stdin", value: Buffer.from(text) });
  }

  /** Waits until the screen shows it. */
  async shows(text: string | RegExp): Promise<void> {
    await waitFor(`${String(text)} on the screen, which has ${JSON.stringify(this.screen)}`, () =>
      typeof text === "string" ? this.screen.includes(text) : text.test(this.screen),
    );
  }

  leave(): void {
    this.#left = true;
    this.#wake();
  }

  async *#requests(): AsyncGenerator<Request> {
    for (;;) {
      for (let message = this.#queue.shift(); message; message = this.#queue.shift()) yield { message };
      if (this.#left) throw new Error("the typist left");
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  async #read(): Promise<void> {
    try {
      for await (const { message } of node().sandboxes.exec(this.#requests())) {
        if (message.case === "stdout") this.screen += Buffer.from(message.value).toString();
        if (message.case === "stderr") throw new Error("a terminal has no stderr");
        if (message.case === "exited") this.exitCode = message.value.exitCode;
      }
    } catch (error) {
      if (!this.#left) throw error;
    }
  }
}

const sh = (script: string): string[] => ["/bin/sh", "-c", script];

describe.each(CLASSES.filter(({ adapter }) => adapter !== "crun"))("under $name", ({ name: runtimeClass }) => {
  let id = "";
  beforeAll(async () => {
    id = idOf(await create(node(), `tty-${runtimeClass}`, runtimeClass, [shell(node(), "app", "sleep 100000")]));
  });

  test("the program has a terminal of the size that was asked for; a new size reaches it, ^C interrupts it", async () => {
    const script = "trap 'exit 7' INT; test -t 0 && test -t 1 && test -t 2 && echo terminal; while :; do stty size; sleep 0.05; done";
    const typist = new Typist({ id, command: sh(script) });
    // runc settles the ends of lines only after the program's first words.
    await typist.shows(/terminal\r*\n/);
    await typist.shows(/33 99\r*\n/);
    typist.send({ case: "resize", value: { columns: 70, rows: 20 } });
    await typist.shows(/20 70\r*\n/);
    typist.type("\x03");
    await typist.ended;
    expect(typist.exitCode).toBe(7);
    expect(typist.screen).toContain("^C");
  });

  test("what is typed is read and shown, ^D ends the input, and all that was written comes", async () => {
    const typist = new Typist({ id, command: sh('read line; echo "<$line>"; cat >/dev/null; seq 20000; echo last words') });
    typist.type("hello\n");
    await typist.shows("hello\r\n<hello>\r\n");
    typist.type("\x04");
    await typist.ended;
    const numbers = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\r\n`).join("");
    expect(typist.screen.endsWith(`${numbers}last words\r\n`)).toBe(true);
    expect(typist.exitCode).toBe(0);
  });

  test("who leaves hangs up the program, also one that does not want to go", async () => {
    const processes = async (): Promise<string> => {
      const ps = new Typist({ id, command: ["ps"] });
      await ps.ended;
      return ps.screen;
    };
    const typists = [
      new Typist({ id, command: sh("echo ready; exec sleep 5001") }),
      new Typist({ id, command: sh("trap '' HUP; echo ready; exec sleep 5002") }),
    ];
    for (const typist of typists) await typist.shows("ready");
    for (const typist of typists) typist.leave();
    await waitFor("the programs' end", async () => !/sleep 500[12]/.test(await processes()));
    for (const typist of typists) expect(typist.exitCode).toBeUndefined();
  });

  test("a program that is not there is an error and no text on the screen", async () => {
    const typist = new Typist({ id, command: ["nosuch"] });
    expect(await refusalFrom(typist.ended)).toMatchObject({ code: "FAILED_PRECONDITION", reason: "StartFailed" });
    expect(typist.screen).toBe("");
  });

  test("berth exec -it is a terminal's own", async () => {
    // script(1) gives berth a terminal, as people have one.
    const command = `stty rows 21 cols 77; exec ${process.execPath} ${BERTH} exec -it tty-${runtimeClass} -- sh -c 'stty size; tty >/dev/null; exit 0'`;
    const env = { ...process.env, BERTH_ADDRESS: node().address };
    const screen = execFileSync("script", ["-qec", command, "/dev/null"], {
      env,
      input: "",
      encoding: "utf8",
      timeout: 60_000,
      stdio: ["pipe", "pipe", "inherit"],
    });
    expect(screen).toContain("21 77");
  });
});

test("sizes that are none are refused", async () => {
  const id = idOf(await create(node(), "sizes", "runc", [shell(node(), "app", "sleep 100000")]));
  const refused = new Typist({ id, command: ["true"] }, { columns: 0, rows: 24 });
  expect(await refusalFrom(refused.ended)).toMatchObject({ violations: [{ field: "terminalSize.columns" }] });
  const typist = new Typist({ id, command: sh("echo ready; sleep 100") });
  await typist.shows("ready");
  await sleep(1);
  typist.send({ case: "resize", value: { columns: 80, rows: 70_000 } });
  expect(await refusalFrom(typist.ended)).toMatchObject({ violations: [{ field: "rows" }] });
});

test("under crun a terminal is refused by name, as crun loses output", async () => {
  const id = idOf(await create(node(), "refused", "crun", [shell(node(), "app", "sleep 100000")]));
  const refusal = await refusalFrom(new Typist({ id, command: ["true"] }).ended);
  expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable" });
  expect(refusal.message).toMatch(/^tty: crun loses/);
});
