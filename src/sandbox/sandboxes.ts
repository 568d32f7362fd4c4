/** All sandboxes of this node: who they are, what runs on each, and what callers may ask for. */

import { BerthError, toBerthError } from "../errors.ts";
import { isAlive } from "../host/processes.ts";
import { type LogRecord, readLog } from "../monitor/logs.ts";
import type { AdmittedRequest } from "../policy/admission.ts";
import { runtimeFor } from "../runtime/registry.ts";
import { admitRequest } from "./admit.ts";
import { createSandbox } from "./create.ts";
import { endApps, type Grace, markEnded, takeDown } from "./ending.ts";
import { watchExit } from "./exits.ts";
import { type ContainerRecord, containerName, hasEnded, isSameWish, newRecord, type SandboxRecord } from "./record.ts";
import { type ExplainedResult, renderOffline } from "./offline.ts";
import { type Rooms, runtimeContainer } from "./rooms.ts";
import type { SandboxRequest } from "./spec.ts";
import { moveTo } from "./state.ts";
import { endStrayCommands, removeFiles, teardown } from "./teardown.ts";
import { type WrittenBundles, writtenBundles } from "./written.ts";

type Verb = "create" | "stop" | "delete" | "complete";

interface Operation {
  readonly verb: Verb;
  readonly done: Promise<void>;
  readonly cancel: AbortController;
}

/** A sandbox with what runs on it at the moment. */
interface Live {
  readonly record: SandboxRecord;
  /** At most one. */
  operation?: Operation;
  /** Settles when the app's end is in the record; by container name. */
  readonly ended: Map<string, Promise<void>>;
}

export interface ListFilter {
  readonly namespace?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pageSize: number;
  readonly pageToken: string;
}

export type SandboxTarget = { readonly id: string } | { readonly namespace: string; readonly name: string };

export class Sandboxes {
  readonly #rooms: Rooms;
  readonly #live = new Map<string, Live>();
  readonly #watches = new AbortController();
  readonly #closing = new AbortController();

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** Answers when every app was started. A repeat with an equal spec gets the sandbox that is there, or joins its creation. */
  async create(request: SandboxRequest, requestId: string): Promise<SandboxRecord> {
    if (this.#closing.signal.aborted) throw new BerthError("Unavailable", "berthd is shutting down");
    const existing = this.#claimedBy(request, requestId);
    if (existing) {
      if (existing.operation?.verb === "create") await existing.operation.done;
      return existing.record;
    }
    const admitted = admitRequest(request, this.#rooms.policy.current, this.#rooms.config);
    const live: Live = { record: newRecord(request, requestId, new Date(), admitted), ended: new Map() };
    this.#live.set(live.record.id, live);
    await this.#run(live, "create", (cancelled) => this.#create(live, admitted, cancelled));
    return live.record;
  }

  get(target: SandboxTarget): SandboxRecord {
    return this.#need(target).record;
  }

  /** Ordered by namespace and name; the token is the last one of the page before. */
  list(filter: ListFilter): { records: SandboxRecord[]; nextPageToken: string } {
    const key = (record: SandboxRecord): string => `${record.namespace}/${record.name}`;
    const matching = [...this.#live.values()]
      .map((live) => live.record)
      .filter((record) => filter.namespace === undefined || record.namespace === filter.namespace)
      .filter((record) => Object.entries(filter.labels).every(([name, value]) => record.labels[name] === value))
      .filter((record) => key(record) > filter.pageToken)
      .sort((a, b) => (key(a) < key(b) ? -1 : 1));
    const records = matching.slice(0, filter.pageSize);
    const last = records.at(-1);
    return { records, nextPageToken: matching.length > records.length && last ? key(last) : "" };
  }

  /** Ends the apps and then pause. One that has ended is left as it is. */
  async stop(id: string, graceMs: number): Promise<SandboxRecord> {
    const live = this.#need({ id });
    const running = live.operation;
    if (running?.verb === "stop" || running?.verb === "complete") await running.done;
    else if (running) throw busy(live.record, running.verb);
    else if (live.record.state === "RUNNING" || live.record.state === "FAILED")
      await this.#run(live, "stop", (hurry) => this.#stop(live, fromNow(graceMs), hurry));
    return live.record;
  }

  /** Ends what runs and removes everything; a creation is cancelled, a stop hurried. False when there was no such sandbox. */
  async delete(id: string, graceMs: number): Promise<boolean> {
    const live = this.#live.get(id);
    if (!live) return false;
    const running = live.operation;
    if (running?.verb === "delete") {
      await running.done;
      return true;
    }
    if (running) {
      running.cancel.abort();
      // What became of it is for those who asked for it; the delete goes on from there.
      await Promise.allSettled([running.done]);
      return (await this.delete(id, graceMs)) || running.verb === "create";
    }
    await this.#run(live, "delete", () => this.#delete(live, fromNow(graceMs)));
    return true;
  }

  /** What a container has written so far; "" names the only app. */
  logs(id: string, container: string): AsyncIterable<LogRecord[]> {
    const { record } = this.#need({ id });
    return readLog(this.#rooms.paths.log(record.id, containerName(record, container)));
  }

  /** What a create would write here and now, with placeholder ids, or why policy refuses it. Touches nothing. */
  async render(request: SandboxRequest): Promise<ExplainedResult> {
    const { config, node, policy, runtimes } = this.#rooms;
    const traitsOf = async (className: string) => (await runtimes.resolve(className)).traits;
    return await renderOffline(request, { config, imageConfigs: new Map(), node, policy: policy.current, traitsOf });
  }

  /** The bundles that a sandbox was created with, as they are on the node. Touches nothing. */
  async bundles(target: SandboxTarget): Promise<WrittenBundles> {
    return await writtenBundles(this.#rooms, this.#need(target).record);
  }

  /** Takes up every sandbox of the journal: adopts what lives, undoes creations that were cut off, finishes stops and deletes. */
  async recover(): Promise<void> {
    const records = this.#rooms.journal.load();
    await Promise.all(records.map((record) => this.#recoverOne(record)));
    // So that what the classes have now counts as in use.
    await this.#rooms.runtimes.list();
    this.#sweepRuntimes();
  }

  /** Refuses new work, waits for what runs but for graces, and lets go of the sandboxes, which live on. */
  async close(): Promise<void> {
    // A stop in its grace ends here, and goes on after the restart. The watches end last: operations learn by them how apps ended.
    this.#closing.abort();
    await Promise.allSettled([...this.#live.values()].flatMap((live) => live.operation?.done ?? []));
    this.#watches.abort();
  }

  /** The sandbox that a create must join or collide with. */
  #claimedBy(request: SandboxRequest, requestId: string): Live | undefined {
    const { namespace, name } = request.metadata;
    const byRequest = (): Live | undefined =>
      [...this.#live.values()].find(({ record }) => requestId !== "" && record.requestId === requestId);
    const live = this.#named(namespace, name) ?? byRequest();
    if (!live) return undefined;
    const { record } = live;
    if (live.operation?.verb === "delete") throw busy(record, "delete");
    if (isSameWish(record, request)) return live;
    const what = record.name === name && record.namespace === namespace ? "exists" : `was made by request ${requestId}`;
    throw new BerthError(
      "NameTaken",
      `sandbox ${record.namespace}/${record.name} (${record.id}) ${what} with another spec: delete it first, or choose another name`,
    );
  }

  #need(target: SandboxTarget): Live {
    if ("id" in target) {
      const live = this.#live.get(target.id);
      if (live) return live;
      throw new BerthError("SandboxNotFound", `there is no sandbox with the id ${target.id}`);
    }
    const { namespace, name } = target;
    const live = this.#named(namespace, name);
    if (live) return live;
    throw new BerthError("SandboxNotFound", `there is no sandbox ${name} in namespace ${namespace}`);
  }

  #named(namespace: string, name: string): Live | undefined {
    return [...this.#live.values()].find(({ record }) => record.namespace === namespace && record.name === name);
  }

  /** Runs an operation on a sandbox that has none. It goes on whoever still waits for it. */
  async #run(live: Live, verb: Verb, act: (cancelled: AbortSignal) => Promise<void>): Promise<void> {
    const cancel = new AbortController();
    const started = performance.now();
    const done = act(cancel.signal).finally(() => {
      delete live.operation;
      this.#settleIfEnded(live);
    });
    live.operation = { verb, done, cancel };
    const fields = { sandbox: live.record.id, namespace: live.record.namespace, name: live.record.name, operation: verb };
    try {
      await done;
      this.#rooms.log.info({ ...fields, milliseconds: Math.round(performance.now() - started) }, "operation done");
    } catch (error) {
      const { reason, message, detail } = toBerthError(error);
      this.#rooms.log.warn({ ...fields, reason, stage: detail.stage, container: detail.container, logTail: detail.logTail }, message);
      throw error;
    }
  }

  async #create(live: Live, admitted: AdmittedRequest, cancelled: AbortSignal): Promise<void> {
    try {
      await createSandbox(this.#rooms, live.record, admitted, cancelled);
    } catch (error) {
      await this.#undo(live, toBerthError(error));
      throw error;
    }
    this.#supervise(live);
  }

  /** The name is free again afterwards; where the undo cannot finish, the sandbox stays FAILED and holds it. */
  async #undo(live: Live, why: BerthError): Promise<void> {
    const { record } = live;
    try {
      if (record.state === "CREATING") {
        await teardown(this.#rooms, record);
        moveTo(record, "FAILED", why);
      }
      removeFiles(this.#rooms, record);
      this.#forget(record, "create");
    } catch (error) {
      const message = `${why.message}; and what was made could not be removed: ${toBerthError(error).message}`;
      moveTo(record, "FAILED", { reason: why.reason, message });
      this.#rooms.journal.save(record);
    }
  }

  async #stop(live: Live, until: string, hurry: AbortSignal): Promise<void> {
    const { record } = live;
    this.#intend(record, { wanted: "stopped", graceUntil: until }, "stop", (next) =>
      moveTo(next, "STOPPING", { reason: record.reason, message: record.message }),
    );
    try {
      await endApps(this.#rooms, record, live.ended, this.#grace(record, hurry));
      await takeDown(this.#rooms, live.record, live.ended);
    } catch (error) {
      this.#failUnlessClosing(live, "StopFailed", error);
      throw error;
    }
    moveTo(record, "STOPPED");
    this.#finish(record, "stop");
  }

  async #delete(live: Live, until: string): Promise<void> {
    const { record } = live;
    this.#intend(record, { wanted: "gone", graceUntil: until }, "delete", (next) => moveTo(next, "DELETING"));
    try {
      await endApps(this.#rooms, record, live.ended, this.#grace(record));
      await takeDown(this.#rooms, live.record, live.ended);
      removeFiles(this.#rooms, record);
    } catch (error) {
      this.#failUnlessClosing(live, "DeleteFailed", error);
      throw error;
    }
    this.#forget(record, "delete");
  }

  /** What cannot be written down is not begun: the record stays as it was then. */
  #intend(
    record: SandboxRecord,
    wish: Pick<SandboxRecord, "wanted" | "graceUntil">,
    operation: Verb,
    move: (next: SandboxRecord) => void,
  ): void {
    const next = { ...record, ...wish };
    move(next);
    this.#rooms.journal.save(next, { operation });
    Object.assign(record, next);
  }

  /** Watches pause and the apps until each has ended. */
  #supervise(live: Live): void {
    const { record } = live;
    if (!record.runtime) throw new Error("only a sandbox with a runtime can be watched");
    const runtime = runtimeFor(record.runtime, record.id, record.spec);
    const watch = async (container: ContainerRecord, then: (code: number | undefined) => void): Promise<void> => {
      try {
        const code = await watchExit(runtime, runtimeContainer(this.#rooms, record, container), container, this.#watches.signal);
        if (code !== "aborted") then(code);
      } catch (error) {
        this.#rooms.log.error({ sandbox: record.id, container: container.name, err: error }, "a container can no longer be watched");
        then(undefined);
      }
    };
    for (const app of record.containers.filter((container) => !hasEnded(container))) {
      live.ended.set(
        app.name,
        watch(app, (code) => this.#ended(live, app, code)),
      );
    }
    void watch(record.pause, (code) => this.#ended(live, record.pause, code));
    this.#settleIfEnded(live);
  }

  #ended(live: Live, container: ContainerRecord, code: number | undefined): void {
    if (hasEnded(container)) return;
    markEnded(container, code, "ExitCodeLost");
    // What is being deleted needs no exit code after a crash.
    const wanted = this.#live.has(live.record.id) && live.operation?.verb !== "delete";
    if (wanted) this.#rooms.journal.save(live.record);
    this.#settleIfEnded(live);
  }

  /** What ended by itself is taken down: when every app has ended and its exit code is stored, or when pause died before. */
  #settleIfEnded(live: Live): void {
    const { record } = live;
    if (live.operation || record.state !== "RUNNING") return;
    // Whichever watch is first: when pause is gone, the sandbox died.
    const died = hasEnded(record.pause) || (record.pause.process !== undefined && !isAlive(record.pause.process));
    const unknown = record.containers.filter((app) => app.state === "UNKNOWN").map((app) => app.name);
    if (died && (unknown.length > 0 || !record.containers.every(hasEnded))) {
      this.#settle(live, () =>
        moveTo(record, "FAILED", { reason: "SandboxDied", message: "the pause container ended before the apps did" }),
      );
    } else if (!record.containers.every(hasEnded)) {
      return;
    } else if (unknown.length > 0) {
      this.#settle(live, () =>
        moveTo(record, "FAILED", { reason: "ExitCodeLost", message: `nobody could learn how ${unknown.join(", ")} ended` }),
      );
    } else {
      this.#settle(live, () => moveTo(record, "COMPLETED"));
    }
  }

  /** The end that a sandbox comes to by itself. */
  #settle(live: Live, move: () => void): void {
    const complete = async (): Promise<void> => {
      try {
        await takeDown(this.#rooms, live.record, live.ended);
        move();
        this.#finish(live.record, "complete");
      } catch (error) {
        this.#fail(live, "CleanupFailed", toBerthError(error).message);
        throw error;
      }
    };
    // #run has told the log.
    this.#run(live, "complete", complete).catch(() => undefined);
  }

  #grace(record: SandboxRecord, hurry?: AbortSignal): Grace {
    return { until: Date.parse(record.graceUntil ?? record.createdAt), hurry, closing: this.#closing.signal };
  }

  /** What a shutdown has cut off, the next berthd goes on with. */
  #failUnlessClosing(live: Live, reason: string, error: unknown): void {
    if (!this.#closing.signal.aborted) this.#fail(live, reason, toBerthError(error).message);
  }

  #finish(record: SandboxRecord, operation: Verb): void {
    delete record.graceUntil;
    record.finishedAt = new Date().toISOString();
    this.#rooms.journal.save(record, { operation });
  }

  #fail(live: Live, reason: string, message: string): void {
    moveTo(live.record, "FAILED", { reason, message });
    this.#rooms.journal.save(live.record);
  }

  #forget(record: SandboxRecord, operation: Verb): void {
    this.#rooms.journal.remove(record, { operation });
    this.#live.delete(record.id);
    this.#sweepRuntimes();
  }

  #sweepRuntimes(): void {
    this.#rooms.runtimes.sweep([...this.#live.values()].flatMap((live) => live.record.runtime ?? []));
  }

  async #recoverOne(record: SandboxRecord): Promise<void> {
    const live: Live = { record, ended: new Map() };
    this.#live.set(record.id, live);
    const was = record.state;
    try {
      if (was === "CREATING" || was === "STOPPING" || was === "DELETING") endStrayCommands(this.#rooms, record);
      if (was === "CREATING")
        await this.#run(live, "create", () =>
          this.#undo(live, new BerthError("Cancelled", "berthd ended while the sandbox was being created")),
        );
      else if (was === "RUNNING") this.#supervise(live);
      else if (was === "STOPPING" || was === "DELETING") this.#goOn(live, was);
    } catch (error) {
      // One bad sandbox never holds up the others; #run has told the log.
      if (record.state === was) this.#fail(live, "RecoveryFailed", toBerthError(error).message);
    }
  }

  /** With the grace that is left of what the caller gave. Nobody waits for it: a long one must not hold up the start. */
  #goOn(live: Live, was: "STOPPING" | "DELETING"): void {
    this.#supervise(live);
    const until = live.record.graceUntil ?? fromNow(0);
    const done =
      was === "STOPPING"
        ? this.#run(live, "stop", (hurry) => this.#stop(live, until, hurry))
        : this.#run(live, "delete", () => this.#delete(live, until));
    // #run has told the log.
    done.catch(() => undefined);
  }
}

const fromNow = (milliseconds: number): string => new Date(Date.now() + milliseconds).toISOString();

function busy(record: SandboxRecord, verb: Verb): BerthError {
  return new BerthError("Busy", `sandbox ${record.namespace}/${record.name} is busy: ${verb} runs on it`);
}
