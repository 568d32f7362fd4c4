/**
 * The story of an exec: a process of the runtime's CLI that runs a program in a container, with pipes or a terminal to berthd as its
 * stdio. It is no
 * operation: it runs beside whatever else runs on the sandbox, and nothing of it is kept.
 *
 * The program is in the container's cgroup, or in the sandbox's own kernel, and dies with it. The CLI ends with the program.
 */

import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import type { Socket } from "node:net";
import { dirname, join } from "node:path";
import { containerProcess, execProcessJson } from "../bundle/exec-process.ts";
import { BerthError, toBerthError } from "../errors.ts";
import { type Pipe, pipeFromProgram, pipeToProgram } from "../host/pipes.ts";
import { killProcess, processesNaming } from "../host/processes.ts";
import { Terminal } from "../host/pty.ts";
import { type SpawnedProgram, spawnProgram } from "../host/spawn.ts";
import { readIfThere, waitUntil } from "../monitor/conmon.ts";
import { COMMAND_TIMEOUT_MS, isCommandFault, loggedErrors } from "../runtime/oci-cli.ts";
import { runtimeFor } from "../runtime/registry.ts";
import type { ExecFiles, Runtime, RuntimeContainer } from "../runtime/runtime.ts";
import { type Output, outputOf } from "./exec-output.ts";
import type { ExecRequest, TerminalSize } from "./exec-request.ts";
import { type ContainerRecord, containerName, type SandboxRecord } from "./record.ts";
import { type Rooms, runtimeContainer } from "./rooms.ts";

/** For the CLI to see the end of a program that was killed. */
const KILL_MS = 5_000;
const END_OF_INPUT = "\x04";
const { SIGKILL } = constants.signals;

/** A program that runs in a container. Whoever opened it calls hangUp at the end, however it ended. */
export interface ExecSession {
  /** Ends with the program. Read no faster than it is taken: then the program waits. */
  readonly output: AsyncIterable<Output>;
  /** After the output has ended: the exit code, 128 + signal when a signal ended it. Rejects when the runtime lost the program. */
  exitCode(): Promise<number>;
  /** Settles when there is room for more; what the program no longer reads is dropped. */
  write(data: Uint8Array): Promise<void>;
  closeInput(): void;
  /** Only with tty. */
  resize(size: TerminalSize): void;
  signal(signal: number): Promise<void>;
  /** Ends the program if it still runs. */
  hangUp(): Promise<void>;
}

/**
 * Runs a program in an app of a RUNNING sandbox and answers when it has started. Throws WrongState, ContainerNotFound, StartFailed for a
 * program that cannot be run, RuntimeFailed and RuntimeTimeout.
 */
export async function startExec(rooms: Rooms, record: SandboxRecord, wanted: string, request: ExecRequest): Promise<ExecSession> {
  const container = runningApp(record, wanted);
  const runtime = runtimeOf(record);
  if (request.tty && runtime.losesTerminalOutput) throw terminalRefused(record);
  const target = runtimeContainer(rooms, record, container);
  const dir = sessionDir(target);
  const files: ExecFiles = { process: join(dir, "process.json"), pid: join(dir, "pid"), log: join(dir, "log") };
  try {
    // It may hold secrets in its environment, so only as long as the runtime needs it.
    writeFileSync(files.process, execProcessJson(processOf(target), request), { mode: 0o600 });
    const session = openSession(runtime, target, files, request);
    try {
      await session.started();
      return session;
    } catch (error) {
      await session.hangUp();
      throw error;
    }
  } catch (error) {
    throw toBerthError(error).at({ stage: "exec", container: container.name });
  } finally {
    rmSync(files.process, { force: true });
  }
}

/**
 * Ends what a berthd that is gone had brought into a sandbox: nobody listens to it. The program's number is believed only while the CLI that
 * waits for it lives; when that has gone, so has the program.
 */
export async function endStrayExecs(rooms: Rooms, record: SandboxRecord): Promise<void> {
  if (!record.runtime) return;
  const runtime = runtimeOf(record);
  for (const container of record.containers) {
    const target = runtimeContainer(rooms, record, container);
    for (const dir of sessionDirs(target)) {
      const commands = processesNaming([record.runtime.binary, `${dir}/`]);
      const pid = programPid(join(dir, "pid"));
      if (commands.length > 0 && pid !== undefined)
        await runtime.signalExec(target, pid, SIGKILL).catch((error: unknown) => {
          rooms.log.warn(
            { sandbox: record.id, container: container.name, err: error },
            "a program of an earlier berthd could not be ended",
          );
        });
      for (const command of commands) killProcess(command, "SIGKILL");
      rmSync(dir, { recursive: true, force: true });
    }
  }
}

/** The runtime's CLI with berthd's ends of its stdio. */
interface Cli {
  readonly program: SpawnedProgram;
  readonly input: Socket | undefined;
  readonly outputs: ReadonlyMap<Output["stream"], Socket>;
  readonly terminal?: Terminal;
}

function openSession(runtime: Runtime, target: RuntimeContainer, files: ExecFiles, request: ExecRequest): Session {
  const command = runtime.execCommand(target, files);
  const { stdin, terminalSize } = request;
  const cli = terminalSize ? spawnWithTerminal(command, stdin, terminalSize) : spawnWithPipes(command, stdin);
  return new Session(runtime, target, files, cli);
}

function spawnWithTerminal(command: string[], withInput: boolean, size: TerminalSize): Cli {
  const terminal = Terminal.open(size);
  try {
    const program = spawnProgram(command, terminal.path);
    return { program, input: withInput ? terminal.stream : undefined, outputs: new Map([["stdout", terminal.stream]]), terminal };
  } catch (error) {
    terminal.stream.destroy();
    throw error;
  }
}

function spawnWithPipes(command: string[], withInput: boolean): Cli {
  using programEnds = new DisposableStack();
  using onFailure = new DisposableStack();
  const opened = (open: () => Pipe): Pipe => {
    const pipe = open();
    onFailure.adopt(pipe.stream, (stream) => stream.destroy());
    programEnds.adopt(pipe.programEnd, closeSync);
    return pipe;
  };
  const input = withInput ? opened(pipeToProgram) : undefined;
  const stdin = input?.programEnd ?? programEnds.adopt(openSync("/dev/null", "r"), closeSync);
  const [stdout, stderr] = [opened(pipeFromProgram), opened(pipeFromProgram)];
  const program = spawnProgram(command, [stdin, stdout.programEnd, stderr.programEnd]);
  onFailure.move();
  const outputs = new Map([["stdout", stdout.stream] as const, ["stderr", stderr.stream] as const]);
  return { program, input: input?.stream, outputs };
}

class Session implements ExecSession {
  readonly output: AsyncIterable<Output>;
  readonly #runtime: Runtime;
  readonly #target: RuntimeContainer;
  readonly #files: ExecFiles;
  readonly #cli: Cli;
  /** While the program runs: the runtime's number of it. */
  #pid: number | undefined;
  #hungUp: Promise<void> | undefined;

  constructor(runtime: Runtime, target: RuntimeContainer, files: ExecFiles, cli: Cli) {
    this.#runtime = runtime;
    this.#target = target;
    this.#files = files;
    this.#cli = cli;
    // A program that no longer reads is no fault: what it is sent is dropped.
    cli.input?.on("error", () => undefined);
    const ended = cli.program.exitCode.then(() => {
      this.#pid = undefined;
    });
    this.output = outputOf(cli.outputs, ended);
  }

  /** Settles when the program has started; throws when it cannot be. */
  async started(): Promise<void> {
    const ended = new AbortController();
    void this.#cli.program.exitCode.then(() => ended.abort());
    const pid = await waitUntil(dirname(this.#files.pid), () => programPid(this.#files.pid), Date.now() + COMMAND_TIMEOUT_MS, ended.signal);
    if (pid === undefined && ended.signal.aborted) throw this.#failure(await this.#cli.program.exitCode);
    if (pid === undefined) {
      this.#cli.program.kill();
      throw new BerthError("RuntimeTimeout", `the runtime's exec did not start the program within ${COMMAND_TIMEOUT_MS} ms and was ended`);
    }
    if (!ended.signal.aborted) this.#pid = pid;
  }

  async exitCode(): Promise<number> {
    const code = await this.#cli.program.exitCode;
    // The code alone does not tell: 128 and 255 are the runtimes' own, and a program's.
    if (loggedErrors(this.#files.log) !== "") throw this.#failure(code);
    return code;
  }

  async write(data: Uint8Array): Promise<void> {
    const { input } = this.#cli;
    if (!input?.writable || input.write(data)) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const settle = (): void => resolve();
    input.once("drain", settle).once("close", settle);
    await promise;
    input.off("drain", settle).off("close", settle);
  }

  closeInput(): void {
    const { input, terminal } = this.#cli;
    // A terminal has one end for both: ^D, which a program in cooked mode reads as the end.
    if (terminal) input?.write(END_OF_INPUT);
    else input?.end();
  }

  resize(size: TerminalSize): void {
    this.#cli.terminal?.resize(size);
  }

  async signal(signal: number): Promise<void> {
    if (this.#pid !== undefined) await this.#runtime.signalExec(this.#target, this.#pid, signal);
  }

  async hangUp(): Promise<void> {
    this.#hungUp ??= this.#end();
    await this.#hungUp;
  }

  /** Without its terminal a program gets SIGHUP, by the kernel; any other gets SIGKILL, as does one that ignores SIGHUP. */
  async #end(): Promise<void> {
    const { program, input, outputs, terminal } = this.#cli;
    for (const stream of [input, ...outputs.values()]) stream?.destroy();
    const kill = async (): Promise<void> => await this.signal(SIGKILL).catch(() => program.kill());
    const patience = setTimeout(() => void kill().then(() => program.kill()), KILL_MS);
    if (!terminal) await kill();
    await program.exitCode;
    clearTimeout(patience);
    rmSync(dirname(this.#files.pid), { recursive: true, force: true });
  }

  #failure(code: number): BerthError {
    const logTail = loggedErrors(this.#files.log);
    const said = logTail || `it ended with ${code} and gave no reason`;
    const failure = new BerthError("RuntimeFailed", `the runtime's exec failed: ${said}`, { logTail });
    return isCommandFault(failure) ? new BerthError("StartFailed", `the program cannot be run: ${said}`, { logTail }) : failure;
  }
}

function terminalRefused({ runtime }: SandboxRecord): BerthError {
  const why = `${runtime?.className} loses what a program writes to a terminal right before it ends`;
  return new BerthError("NotEnforceable", `tty: ${why}: leave tty out, or run the sandbox with runc or runsc`);
}

function runningApp(record: SandboxRecord, wanted: string): ContainerRecord {
  const where = `sandbox ${record.namespace}/${record.name}`;
  const name = containerName(record, wanted);
  const container = record.containers.find((app) => app.name === name);
  if (!container) throw new BerthError("WrongState", `${where}: nothing can be run in ${name}, which berthd made: name an app`);
  if (record.state !== "RUNNING") throw new BerthError("WrongState", `${where} is ${record.state}: exec needs one that is RUNNING`);
  if (container.state === "RUNNING") return container;
  throw new BerthError("WrongState", `container ${name} of ${where} is ${container.state}: exec needs one that is RUNNING`);
}

function runtimeOf(record: SandboxRecord): Runtime {
  if (!record.runtime) throw new Error("a sandbox that runs has a runtime");
  return runtimeFor(record.runtime, record.id, record.spec);
}

function processOf({ bundle }: RuntimeContainer): ReturnType<typeof containerProcess> {
  const file = join(bundle, "config.json");
  try {
    return containerProcess(readFileSync(file, "utf8"));
  } catch (error) {
    throw new BerthError("Internal", `${file} cannot be read any more, so nobody knows the container's user and rights: ${String(error)}`);
  }
}

/** One folder for each exec of a container. */
const execDir = (target: RuntimeContainer): string => join(target.dir, "exec");

function sessionDir(target: RuntimeContainer): string {
  mkdirSync(execDir(target), { recursive: true, mode: 0o700 });
  return mkdtempSync(join(execDir(target), "s-"));
}

function sessionDirs(target: RuntimeContainer): string[] {
  return existsSync(execDir(target)) ? readdirSync(execDir(target)).map((name) => join(execDir(target), name)) : [];
}

/** What the runtime wrote when the program had started. */
function programPid(file: string): number | undefined {
  const text = readIfThere(file)?.trim();
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}
