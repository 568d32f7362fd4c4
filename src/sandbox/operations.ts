/** Runs operations: one at a time on a sandbox, each a story of named steps that the journal has before it begins and until it is over. */

import { randomBytes } from "node:crypto";
import { BerthError, toBerthError } from "../errors.ts";
import type { Faults } from "./faults.ts";
import type { OperationArgs, OperationRecord, SandboxRecord, StageTiming, Verb } from "./record.ts";
import type { Rooms } from "./rooms.ts";
import { moveTo } from "./state.ts";

/** What is left of a sandbox after an operation. */
export type Outcome = "stays" | "gone";

/** How a verb is done. Every step can be run again, beside what an earlier run of it has left. */
export interface Story {
  readonly verb: Verb;
  /** What the record says from the moment on that the operation is in the journal. Throws for a state that the verb cannot begin from. */
  begin?(next: SandboxRecord): void;
  /** From begin to the promised state. */
  run(rooms: Rooms, live: Live, operation: Operation): Promise<Outcome>;
  /** After a failure: to a state that is true and from which callers have a way out. When it throws as well, the sandbox is FAILED. */
  undo(rooms: Rooms, live: Live, failure: BerthError): Promise<Outcome> | Outcome;
}

/** A sandbox with what runs on it at the moment. */
export interface Live {
  readonly record: SandboxRecord;
  /** At most one. */
  operation?: Operation;
  /** Settles when the container's end is in the record; by its name; of the last run. */
  readonly ended: Map<string, Promise<void>>;
  /** Ends the watches of the last run; absent while there are none. */
  watching?: AbortController;
  /** For what is next due by itself. */
  alarm?: NodeJS.Timeout;
  /** Operations in a row that failed. */
  failures: number;
  gone: boolean;
}

export const newLive = (record: SandboxRecord): Live => ({ record, ended: new Map(), failures: 0, gone: false });

/** Lets go of the containers of a run that is over. */
export function unwatch(live: Live): void {
  live.watching?.abort();
  delete live.watching;
  live.ended.clear();
}

/** An operation in the hands of its story. */
export class Operation {
  readonly record: OperationRecord;
  /** Settles with the operation. */
  readonly done: Promise<void>;
  /** berthd ends: what can wait for the next berthd must. */
  readonly closing: AbortSignal;
  /** How long each step took, in order. */
  readonly stages: StageTiming[] = [];
  readonly #live: Live;
  readonly #rooms: Rooms;
  readonly #cancel = new AbortController();
  readonly #begun = Promise.withResolvers<void>();
  readonly #created = Promise.withResolvers<void>();
  #awaitsCreated = false;

  constructor(rooms: Rooms, live: Live, record: OperationRecord, closing: AbortSignal, play: (operation: Operation) => Promise<void>) {
    this.#rooms = rooms;
    this.#live = live;
    this.record = record;
    this.closing = closing;
    this.done = play(this);
    // Whoever waits is told; nobody need wait.
    this.done.catch(() => undefined);
  }

  get verb(): Verb {
    return this.record.verb;
  }

  /** Fires when a delete waits for this to end: what makes something stops at its next step, a stop lets its grace be. */
  get cancelled(): AbortSignal {
    return this.#cancel.signal;
  }

  cancel(): void {
    this.#cancel.abort();
  }

  /** Runs a step: timed, named in its error, and not begun when an operation that makes something was cancelled. */
  async step<T>(name: string, act: () => T | Promise<T>, container?: string): Promise<T> {
    const where = { stage: name, ...(container === undefined ? {} : { container }) };
    const makes = this.verb === "create" || this.verb === "start" || this.verb === "restart";
    if (makes && this.cancelled.aborted) throw new BerthError("Cancelled", `the ${this.verb} was cancelled by a delete`, where);
    const label = container === undefined ? name : `${name} ${container}`;
    const started = performance.now();
    this.record.step = name;
    try {
      return await withFaults(this.#rooms.faults, `${this.verb}/${label}`, act);
    } catch (error) {
      throw toBerthError(error).at(where);
    } finally {
      this.stages.push({ name: label, milliseconds: performance.now() - started });
    }
  }

  /**
   * Makes it durable that the steps from this one on are begun, and with it what the record says by then. For the first of several
   * steps with effects outside: those that can be undone by the same ids need no fence between them.
   */
  async intend(step: string, args: OperationArgs = {}): Promise<void> {
    await withFaults(this.#rooms.faults, `${this.verb}/intend ${step}`, () => {
      this.record.step = step;
      Object.assign(this.record.args, args);
      this.#rooms.journal.save(this.#live.record);
    });
  }

  /** It is in the journal. */
  begun(): void {
    this.#begun.resolve();
  }

  /** Everything is made. Callers who wait for no more are answered, and from here on something of theirs may run. */
  async created(): Promise<void> {
    await this.intend("app-start", { mayHaveRun: true, ...(this.#awaitsCreated ? { answered: true } : {}) });
    this.#created.resolve();
  }

  /** Settles when it is in the journal, or with the operation when it does not come there. */
  async untilAccepted(): Promise<void> {
    await Promise.race([this.#begun.promise, this.done]);
    this.#answerEarly();
  }

  /** Settles when everything is made, or with the operation when it fails before. */
  async untilCreated(): Promise<void> {
    this.#awaitsCreated = true;
    await Promise.race([this.#created.promise, this.done]);
    this.#answerEarly();
  }

  /** A caller is answered before the end: from now on a failure leaves the sandbox FAILED. */
  #answerEarly(): void {
    if (this.record.finishedAt !== undefined || this.record.args.answered) return;
    this.record.args.answered = true;
    this.#rooms.journal.save(this.#live.record);
  }
}

export interface Begin {
  readonly requestId?: string;
  readonly args?: OperationArgs;
}

export class Operations {
  readonly #rooms: Rooms;
  readonly #closing: AbortSignal;
  readonly #settled: (live: Live, failed: boolean) => void;

  /** `settled` is told whenever an operation on a sandbox is over. */
  constructor(rooms: Rooms, closing: AbortSignal, settled: (live: Live, failed: boolean) => void) {
    this.#rooms = rooms;
    this.#closing = closing;
    this.#settled = settled;
  }

  /** Begins an operation on a sandbox that has none. It goes on whoever still waits for it. Throws Unavailable when berthd ends. */
  begin(live: Live, story: Story, { requestId = "", args = {} }: Begin = {}): Operation {
    if (this.#closing.aborted) throw new BerthError("Unavailable", "berthd is shutting down");
    const record: OperationRecord = {
      id: randomBytes(16).toString("hex"),
      verb: story.verb,
      step: "begin",
      args,
      requestId,
      startedAt: new Date().toISOString(),
    };
    return this.#start(live, story, record, async () => {
      // What cannot be written down is not begun: the record stays as it was then.
      const next = { ...live.record, operation: record };
      story.begin?.(next);
      await withFaults(this.#rooms.faults, `${story.verb}/begin`, () => this.#rooms.journal.save(next));
      Object.assign(live.record, next);
    });
  }

  /** Goes on with an operation that the journal has open, from its first step. */
  again(live: Live, story: Story, record: OperationRecord): Operation {
    return this.#start(live, story, record, () => {
      record.args.attempts = (record.args.attempts ?? 0) + 1;
      this.#rooms.journal.save(live.record);
    });
  }

  /** Undoes an operation that the journal has open. */
  undo(live: Live, story: Story, record: OperationRecord, why: BerthError): Operation {
    const undone: Story = { ...story, run: () => Promise.reject(why) };
    return this.#start(live, undone, record, () => undefined);
  }

  #start(live: Live, story: Story, record: OperationRecord, begin: () => void | Promise<void>): Operation {
    const operation = new Operation(this.#rooms, live, record, this.#closing, async (self) => {
      // The operation is the sandbox's before anything of it is done.
      await Promise.resolve();
      const started = performance.now();
      let failed = true;
      const fields = { sandbox: live.record.id, namespace: live.record.namespace, name: live.record.name, operation: story.verb };
      try {
        await this.#beginOrForget(live, record, begin);
        self.begun();
        await this.#play(live, story, self);
        failed = false;
        this.#rooms.log.info({ ...fields, milliseconds: Math.round(performance.now() - started) }, "operation done");
      } catch (error) {
        const { reason, message, detail } = toBerthError(error);
        this.#rooms.log.warn({ ...fields, reason, stage: detail.stage, container: detail.container, logTail: detail.logTail }, message);
        throw error;
      } finally {
        delete live.operation;
        delete live.record.operation;
        this.#settled(live, failed);
      }
    });
    live.operation = operation;
    return operation;
  }

  async #beginOrForget(live: Live, record: OperationRecord, begin: () => void | Promise<void>): Promise<void> {
    try {
      await begin();
    } catch (error) {
      // Of a sandbox that never came into the journal there is nothing.
      if (record.verb === "create" && live.record.operation === undefined) live.gone = true;
      throw error;
    }
  }

  async #play(live: Live, story: Story, operation: Operation): Promise<void> {
    try {
      const outcome = await story.run(this.#rooms, live, operation);
      await this.#close(live, operation, outcome, "");
    } catch (thrown) {
      const failure = toBerthError(thrown);
      // What a shutdown has cut off stays open: the next berthd goes on with it.
      if (!(this.#closing.aborted && failure.reason === "Unavailable")) {
        const outcome = await this.#undo(live, story, failure);
        await this.#close(live, operation, outcome, `${failure.reason}: ${failure.message}`);
      }
      throw failure;
    }
  }

  async #undo(live: Live, story: Story, failure: BerthError): Promise<Outcome> {
    try {
      return await withFaults(this.#rooms.faults, `${story.verb}/undo`, () => story.undo(this.#rooms, live, failure));
    } catch (error) {
      const message = `${told(failure)}; and what was done could not be undone: ${toBerthError(error).message}`;
      moveTo(live.record, "FAILED", { reason: failure.reason, message });
      return "stays";
    }
  }

  /** The state that the operation led to and its end become durable together. */
  async #close(live: Live, { verb, record: operation }: Operation, outcome: Outcome, result: string): Promise<void> {
    await withFaults(this.#rooms.faults, `${verb}/end`, () => {
      const closed = { ...operation, finishedAt: new Date().toISOString(), result };
      const next = { ...live.record, operation: closed };
      if (outcome === "gone") this.#rooms.journal.remove(next);
      else this.#rooms.journal.save(next);
      Object.assign(operation, closed);
      Object.assign(live.record, next);
      live.gone = outcome === "gone";
    });
  }
}

/** An error with where it happened, for a record that keeps no more than a text. */
export function told({ message, detail: { stage, container } }: BerthError): string {
  const where = [stage, container].filter((word) => word !== undefined).join(" ");
  return where === "" ? message : `${where}: ${message}`;
}

async function withFaults<T>(faults: Faults, point: string, act: () => T | Promise<T>): Promise<T> {
  await faults(`${point}/before`);
  const result = await act();
  await faults(`${point}/after`);
  return result;
}
