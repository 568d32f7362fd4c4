/** All sandboxes of this node: who they are, and what callers may ask for. */

import { BerthError, invalidRequest, show } from "../errors.ts";
import { type LogRecord, readLog } from "../monitor/logs.ts";
import { admitRequest } from "./admit.ts";
import { COMPLETE, ownEnd } from "./complete.ts";
import { CREATE } from "./create.ts";
import { dueNext, graceUntil } from "./deadlines.ts";
import { DELETE } from "./delete.ts";
import { type ExecSession, startExec } from "./exec.ts";
import type { ExecRequest } from "./exec-request.ts";
import { type ExplainedResult, renderOffline } from "./offline.ts";
import { type Live, newLive, type Operation, Operations } from "./operations.ts";
import { PAUSE, RESUME } from "./pause.ts";
import { containerName, isSameWish, newRecord, type SandboxRecord, type Verb } from "./record.ts";
import { recover } from "./recovery.ts";
import { planRestarts } from "./restarts.ts";
import type { Rooms } from "./rooms.ts";
import type { SandboxRequest } from "./spec.ts";
import { START } from "./start.ts";
import { STOP } from "./stop.ts";
import { watchContainers } from "./watching.ts";
import { type WrittenBundles, writtenBundles } from "./written.ts";

export interface ListFilter {
  readonly namespace?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pageSize: number;
  readonly pageToken: string;
}

export type SandboxTarget = { readonly id: string } | { readonly namespace: string; readonly name: string };

/** What a create is answered with: that it is in the journal, that every container is made, or that every app was started. */
export type WaitUntil = "accepted" | "created" | "running";

export class Sandboxes {
  readonly #rooms: Rooms;
  readonly #live = new Map<string, Live>();
  readonly #closing = new AbortController();
  readonly #operations: Operations;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
    this.#operations = new Operations(rooms, this.#closing.signal, (live, failed) => this.#settled(live, failed));
  }

  /** A repeat with an equal spec gets the sandbox that is there, or joins its creation. */
  async create(request: SandboxRequest, requestId: string, waitUntil: WaitUntil): Promise<SandboxRecord> {
    const existing = this.#claimedBy(request, requestId);
    if (existing) {
      const { operation } = existing;
      if (operation?.verb === "create" || operation?.verb === "start") await reached(operation, waitUntil);
      return existing.record;
    }
    this.#rooms.drain.refuseNew();
    // Only of a new one: a repeat joins what there is, however late.
    if (request.spec.expiresAt !== undefined) refuseOver(request.spec.expiresAt, "spec.expiresAt");
    const admitted = admitRequest(request, this.#rooms.policy.current, this.#rooms.config);
    const live = newLive(newRecord(request, requestId, new Date(), admitted));
    const operation = this.#operations.begin(live, CREATE, { requestId, args: waitUntil === "accepted" ? { answered: true } : {} });
    this.#live.set(live.record.id, live);
    await reached(operation, waitUntil);
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

  /** Runs one that has ended once more, on what its containers have written. One that runs is left as it is. */
  async start(id: string, requestId: string): Promise<SandboxRecord> {
    return await this.#bring(id, "start", ({ record }) => {
      const again = requestId !== "" && this.#rooms.journal.lastOperation(id, "start");
      const done = again && again.requestId === requestId && again.result === "";
      if (done || record.state === "RUNNING") return undefined;
      this.#rooms.drain.refuseNew();
      return (live) => this.#operations.begin(live, START, { requestId });
    });
  }

  /** Ends the apps and then pause. One that has ended is left as it is. */
  async stop(id: string, graceMs?: number): Promise<SandboxRecord> {
    return await this.#bring(id, "stop", ({ record }) => {
      if (record.state === "STOPPED" || record.state === "COMPLETED") return undefined;
      return (live) => this.#operations.begin(live, STOP, { args: { graceUntil: graceUntil(record, Date.now(), graceMs) } });
    });
  }

  /** Freezes the apps. One that is paused is left as it is. */
  async pause(id: string): Promise<SandboxRecord> {
    return await this.#bring(id, "pause", ({ record }) => {
      return record.state === "PAUSED" ? undefined : (live) => this.#operations.begin(live, PAUSE);
    });
  }

  /** Lets the apps go on. One that runs is left as it is. */
  async resume(id: string): Promise<SandboxRecord> {
    return await this.#bring(id, "resume", ({ record }) => {
      return record.state === "RUNNING" ? undefined : (live) => this.#operations.begin(live, RESUME);
    });
  }

  /** Ends what runs and removes everything; a creation is cancelled, a stop hurried. False when there was no such sandbox. */
  async delete(id: string, graceMs?: number): Promise<boolean> {
    const live = this.#live.get(id);
    if (!live) return false;
    const running = live.operation;
    if (running?.verb === "delete") {
      await running.done;
      return true;
    }
    if (running) {
      running.cancel();
      // What became of it is for those who asked for it; the delete goes on from there.
      await Promise.allSettled([running.done]);
      return (await this.delete(id, graceMs)) || running.verb === "create";
    }
    await this.#operations.begin(live, DELETE, { args: { graceUntil: graceUntil(live.record, Date.now(), graceMs) } }).done;
    return true;
  }

  /**
   * Moves the end of the lease, where the record is still as the caller saw it. Throws Conflict when it is not. What the lease has
   * ended already stays ended: then the way out is a start.
   */
  renewLease(id: string, expiresAt: string, resourceVersion: string): SandboxRecord {
    const live = this.#need({ id });
    const { record } = live;
    refuseOver(expiresAt, "expiresAt");
    if (record.state === "DELETING") throw busy(record, "delete");
    if (resourceVersion !== String(record.resourceVersion)) {
      const what = `sandbox ${record.namespace}/${record.name} has the resource version ${record.resourceVersion} now`;
      throw new BerthError("Conflict", `${what}, not ${resourceVersion}: get it again, and renew what it is then`);
    }
    const renewed = { ...record, expiresAt };
    this.#rooms.journal.save(renewed, { events: [{ kind: "lease.renewed", message: `until ${expiresAt}` }] });
    Object.assign(record, renewed);
    this.#settled(live);
    return record;
  }

  /** What a container has written so far; "" names the only app. */
  logs(id: string, container: string): AsyncIterable<LogRecord[]> {
    const { record } = this.#need({ id });
    return readLog(this.#rooms.paths.log(record.id, containerName(record, container)));
  }

  /** Runs a program in an app; "" names the only one. The sandbox goes on as it does, and whatever else is done to it. */
  async exec(id: string, container: string, request: ExecRequest): Promise<ExecSession> {
    if (this.#closing.signal.aborted) throw new BerthError("Unavailable", "berthd is shutting down");
    return await startExec(this.#rooms, this.#need({ id }).record, container, request);
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

  /** Takes up every sandbox of the journal. */
  async recover(): Promise<void> {
    for (const record of this.#rooms.journal.load()) this.#live.set(record.id, newLive(record));
    await recover(this.#rooms, this.#operations, [...this.#live.values()], (live) => this.#settled(live));
    // So that what the classes have now counts as in use.
    await this.#rooms.runtimes.list();
    this.#sweepRuntimes();
  }

  /** Refuses new work, waits for what runs but for graces, and lets go of the sandboxes, which live on. */
  async close(): Promise<void> {
    // A stop in its grace ends here, and goes on after the restart. The watches end last: operations learn by them how apps ended.
    this.#closing.abort();
    await Promise.allSettled([...this.#live.values()].flatMap((live) => live.operation?.done ?? []));
    for (const live of this.#live.values()) {
      clearTimeout(live.alarm);
      live.watching?.abort();
    }
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

  /** Joins the operation of the verb that runs, is refused beside another, or begins one where `plan` says so. */
  async #bring(id: string, verb: Verb, plan: (live: Live) => ((live: Live) => Operation) | undefined): Promise<SandboxRecord> {
    let live = this.#need({ id });
    // What a sandbox does by itself is nobody's: it is waited for.
    while (live.operation?.verb === "complete" || live.operation?.verb === "restart") {
      await Promise.allSettled([live.operation.done]);
      live = this.#need({ id });
    }
    const running = live.operation;
    if (running && running.verb !== verb) throw busy(live.record, running.verb);
    if (running) await running.done;
    else await plan(live)?.(live).done;
    return live.record;
  }

  /** After each operation, which failed or did not, at each end of a container, and when something is due: begins what the sandbox is to do by itself. */
  #settled(live: Live, failed?: boolean): void {
    const { record } = live;
    clearTimeout(live.alarm);
    if (live.gone) {
      this.#live.delete(record.id);
      this.#sweepRuntimes();
      return;
    }
    if (live.operation) return;
    if (record.state === "RUNNING" || record.state === "PAUSED") watchContainers(this.#rooms, live, () => this.#settled(live));
    if (this.#closing.signal.aborted) return;
    if (failed !== undefined) live.failures = failed ? live.failures + 1 : 0;
    // What failed, such as for want of room in the journal, is not tried again without a pause; and a delete comes first.
    if (failed) this.#wakeAt(live, Date.now() + Math.min(RETRY_MS * 2 ** (live.failures - 1), LONGEST_RETRY_MS));
    else if (ownEnd(record)) this.#operations.begin(live, COMPLETE);
    else this.#bringDue(live);
  }

  /** Begins what is due, or sees to it that it is begun then. */
  #bringDue(live: Live): void {
    const { record } = live;
    const now = Date.now();
    try {
      if (planRestarts(record, now)) this.#rooms.journal.save(record);
    } catch (error) {
      // The restart itself writes it down, or does not begin.
      this.#rooms.log.error({ sandbox: record.id, err: error }, "when an app runs again could not be stored");
    }
    const due = dueNext(record, now);
    if (due && due.at > now) this.#wakeAt(live, due.at);
    else if (due) this.#operations.begin(live, due.story, { args: due.args(now) });
  }

  #wakeAt(live: Live, at: number): void {
    live.alarm = setTimeout(() => this.#settled(live), Math.min(at - Date.now(), LONGEST_TIMER_MS));
  }

  #sweepRuntimes(): void {
    this.#rooms.runtimes.sweep([...this.#live.values()].flatMap((live) => live.record.runtime ?? []));
  }
}

/** After the first failure; each further one in a row waits twice as long. */
const RETRY_MS = 1000;
const LONGEST_RETRY_MS = 300_000;
/** A timer of more would fire at once. One that fires early is set again. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A lease that is over would end the sandbox at once. */
function refuseOver(expiresAt: string, field: string): void {
  if (Date.parse(expiresAt) > Date.now()) return;
  throw invalidRequest([{ field, rule: "is over", value: show(expiresAt), allowed: `a time after ${new Date().toISOString()}` }]);
}

/** Waits as long as the caller wants to; what fails before that is thrown. */
async function reached(operation: Operation, waitUntil: WaitUntil): Promise<void> {
  if (waitUntil === "running") await operation.done;
  else if (waitUntil === "created") await operation.untilCreated();
  else await operation.untilAccepted();
}

function busy(record: SandboxRecord, verb: Verb): BerthError {
  return new BerthError("Busy", `sandbox ${record.namespace}/${record.name} is busy: ${verb} runs on it`);
}
