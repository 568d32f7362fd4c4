/** All sandboxes of this node: who they are, what runs on each, and what callers may ask for. */

import type { RenderResult } from "../bundle/render.ts";
import { BerthError, toBerthError } from "../errors.ts";
import { type LogRecord, readLog } from "../monitor/logs.ts";
import { runtimeFor } from "../runtime/registry.ts";
import { createSandbox } from "./create.ts";
import { watchExit } from "./exits.ts";
import { type ContainerRecord, hasEnded, newRecord, type SandboxRecord } from "./record.ts";
import { renderOffline } from "./offline.ts";
import { type Rooms, runtimeContainer } from "./rooms.ts";
import type { SandboxRequest } from "./spec.ts";
import { moveTo } from "./state.ts";
import { endStrayCommands, removeFiles, teardown } from "./teardown.ts";

export const DEFAULT_GRACE_MS = 10_000;
/** After KILL, for the kernel and the runtime to say that it happened. */
const KILL_MS = 10_000;
const SIGKILL = 9;

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
  #closing = false;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** Answers when every app was started. A repeat with an equal spec gets the sandbox that is there, or joins its creation. */
  async create(request: SandboxRequest, requestId: string): Promise<SandboxRecord> {
    if (this.#closing) throw new BerthError("Unavailable", "berthd is shutting down");
    const existing = this.#claimedBy(request, requestId);
    if (existing) {
      if (existing.operation?.verb === "create") await existing.operation.done;
      return existing.record;
    }
    const live: Live = { record: newRecord(request, requestId, new Date()), ended: new Map() };
    this.#live.set(live.record.id, live);
    await this.#run(live, "create", (cancelled) => this.#create(live, cancelled));
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
      await this.#run(live, "stop", (hurry) => this.#stop(live, graceMs, hurry));
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
    await this.#run(live, "delete", () => this.#delete(live, graceMs));
    return true;
  }

  /** What a container has written so far; "" names the only app. */
  logs(id: string, container: string): AsyncIterable<LogRecord[]> {
    const { record } = this.#need({ id });
    return readLog(this.#rooms.paths.log(record.id, containerName(record, container)));
  }

  /** What a create would write here and now, with placeholder ids. Touches nothing. */
  async render(request: SandboxRequest): Promise<RenderResult> {
    const { config, nodeCapabilities, runtimes } = this.#rooms;
    const { traits } = await runtimes.resolve(request.spec.runtimeClassName);
    return await renderOffline(request, { config, imageConfigs: new Map(), nodeCapabilities, ambient: traits.ambient });
  }

  /** Takes up every sandbox of the journal: adopts what lives, undoes creations that were cut off, finishes stops and deletes. */
  async recover(): Promise<void> {
    const records = this.#rooms.journal.load();
    await Promise.all(records.map((record) => this.#recoverOne(record)));
    // So that what the classes have now counts as in use.
    await this.#rooms.runtimes.list();
    this.#sweepRuntimes();
  }

  /** Refuses new work, waits for what runs, and lets go of the sandboxes, which live on. */
  async close(): Promise<void> {
    this.#closing = true;
    // Before the watches end: a stop learns by them how the apps ended.
    await Promise.allSettled([...this.#live.values()].flatMap((live) => live.operation?.done ?? []));
    this.#watches.abort();
  }

  /** The sandbox that a create must join or collide with. */
  #claimedBy(request: SandboxRequest, requestId: string): Live | undefined {
    const { namespace, name, labels } = request.metadata;
    const candidates = [...this.#live.values()];
    const live =
      candidates.find(({ record }) => record.namespace === namespace && record.name === name) ??
      candidates.find(({ record }) => requestId !== "" && record.requestId === requestId);
    if (!live) return undefined;
    const { record } = live;
    if (live.operation?.verb === "delete") throw busy(record, "delete");
    const wish = (of: { namespace: string; name: string; labels: object; spec: object }): string =>
      JSON.stringify([of.namespace, of.name, Object.entries(of.labels).sort(), of.spec]);
    if (wish(record) === wish({ namespace, name, labels, spec: request.spec })) return live;
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
    const live = [...this.#live.values()].find(({ record }) => record.namespace === namespace && record.name === name);
    if (live) return live;
    throw new BerthError("SandboxNotFound", `there is no sandbox ${name} in namespace ${namespace}`);
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

  async #create(live: Live, cancelled: AbortSignal): Promise<void> {
    try {
      await createSandbox(this.#rooms, live.record, cancelled);
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
      if (record.state === "CREATING") await teardown(this.#rooms, record);
      removeFiles(this.#rooms, record);
      this.#forget(record);
    } catch (error) {
      const message = `${why.message}; and what was made could not be removed: ${toBerthError(error).message}`;
      moveTo(record, "FAILED", { reason: why.reason, message });
      this.#rooms.journal.save(record);
    }
  }

  async #stop(live: Live, graceMs: number, hurry: AbortSignal): Promise<void> {
    const { record } = live;
    record.wanted = "stopped";
    moveTo(record, "STOPPING", { reason: record.reason, message: record.message });
    this.#rooms.journal.save(record);
    try {
      await this.#endApps(live, graceMs, hurry);
      await this.#takeDown(live);
    } catch (error) {
      this.#fail(live, "StopFailed", toBerthError(error).message);
      throw error;
    }
    moveTo(record, "STOPPED");
    this.#finish(record);
  }

  async #delete(live: Live, graceMs: number): Promise<void> {
    const { record } = live;
    record.wanted = "gone";
    moveTo(record, "DELETING");
    this.#rooms.journal.save(record);
    try {
      await this.#endApps(live, graceMs);
      await this.#takeDown(live);
      removeFiles(this.#rooms, record);
    } catch (error) {
      this.#fail(live, "DeleteFailed", toBerthError(error).message);
      throw error;
    }
    this.#forget(record);
  }

  /** Stop signal, grace, KILL. Returns when every app's end is in the record, or cannot be learnt. */
  async #endApps(live: Live, graceMs: number, hurry?: AbortSignal): Promise<void> {
    const signalAll = async (signalOf: (app: ContainerRecord) => number): Promise<void> => {
      const running = live.record.containers.filter((app) => app.state === "RUNNING" && live.ended.has(app.name));
      const { runtime, id, spec } = live.record;
      if (!runtime) return;
      const adapter = runtimeFor(runtime, id, spec);
      const sent = running.map((app) => adapter.signal(runtimeContainer(this.#rooms, live.record, app), signalOf(app)));
      for (const result of await Promise.allSettled(sent)) {
        // The teardown that follows kills by pid what a runtime could not signal.
        if (result.status === "rejected") this.#rooms.log.warn({ sandbox: id, err: result.reason }, "the runtime could not send a signal");
      }
    };
    const allEnded = Promise.all(live.ended.values());
    if (graceMs > 0) {
      await signalAll((app) => app.stopSignal);
      if (await within(allEnded, graceMs, hurry)) return;
    }
    await signalAll(() => SIGKILL);
    await within(allEnded, KILL_MS);
  }

  /** Takes everything down and waits until every watch has seen it. */
  async #takeDown(live: Live): Promise<void> {
    await teardown(this.#rooms, live.record);
    await within(Promise.all(live.ended.values()), KILL_MS);
    for (const container of live.record.containers) {
      if (container.state === "RUNNING" || container.state === "CREATED") markEnded(container, undefined, "Killed");
    }
    const { pause } = live.record;
    if (!hasEnded(pause)) markEnded(pause, 128 + SIGKILL, "");
    // It is killed at every end: no error of anybody's.
    if (pause.exitCode === 128 + SIGKILL) pause.reason = "Stopped";
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
    const unknown = record.containers.filter((app) => app.state === "UNKNOWN").map((app) => app.name);
    if (!record.containers.every(hasEnded)) {
      if (!hasEnded(record.pause)) return;
      this.#settle(live, () =>
        moveTo(record, "FAILED", { reason: "SandboxDied", message: "the pause container ended before the apps did" }),
      );
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
        await this.#takeDown(live);
        move();
        this.#finish(live.record);
      } catch (error) {
        this.#fail(live, "CleanupFailed", toBerthError(error).message);
        throw error;
      }
    };
    // #run has told the log.
    this.#run(live, "complete", complete).catch(() => undefined);
  }

  #finish(record: SandboxRecord): void {
    record.finishedAt = new Date().toISOString();
    this.#rooms.journal.save(record);
  }

  #fail(live: Live, reason: string, message: string): void {
    moveTo(live.record, "FAILED", { reason, message });
    this.#rooms.journal.save(live.record);
  }

  #forget(record: SandboxRecord): void {
    this.#rooms.journal.remove(record.id);
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
      else if (was === "STOPPING" || was === "DELETING") {
        this.#supervise(live);
        if (was === "STOPPING") await this.#run(live, "stop", (hurry) => this.#stop(live, DEFAULT_GRACE_MS, hurry));
        else await this.#run(live, "delete", () => this.#delete(live, 0));
      }
    } catch (error) {
      // One bad sandbox never holds up the others; #run has told the log.
      if (record.state === was) this.#fail(live, "RecoveryFailed", toBerthError(error).message);
    }
  }
}

function busy(record: SandboxRecord, verb: Verb): BerthError {
  return new BerthError("Busy", `sandbox ${record.namespace}/${record.name} is busy: ${verb} runs on it`);
}

function markEnded(container: ContainerRecord, code: number | undefined, unknownReason: string): void {
  container.state = code === undefined ? "UNKNOWN" : "EXITED";
  container.reason = code === undefined ? unknownReason : code === 0 ? "Completed" : "Error";
  container.finishedAt = new Date().toISOString();
  if (code !== undefined) container.exitCode = code;
}

/** The container that a caller means; throws ContainerNotFound with the names there are. */
function containerName(record: SandboxRecord, wanted: string): string {
  const names = [...record.containers.map((container) => container.name), record.pause.name];
  if (wanted !== "" && names.includes(wanted)) return wanted;
  const only = record.containers.length === 1 ? record.containers[0]?.name : undefined;
  if (wanted === "" && only !== undefined) return only;
  const said = wanted === "" ? "has several containers, name one" : `has no container ${JSON.stringify(wanted)}`;
  throw new BerthError("ContainerNotFound", `sandbox ${record.namespace}/${record.name} ${said}: ${names.join(", ")}`);
}

/** Whether the promise settled in time and before the signal. */
async function within(promise: Promise<unknown>, milliseconds: number, hurry?: AbortSignal): Promise<boolean> {
  const { promise: over, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), milliseconds);
  const stop = (): void => resolve(false);
  hurry?.addEventListener("abort", stop);
  try {
    if (hurry?.aborted) return false;
    return await Promise.race([promise.then(() => true as const), over]);
  } finally {
    clearTimeout(timer);
    hurry?.removeEventListener("abort", stop);
  }
}
