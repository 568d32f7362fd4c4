/**
 * berthd killed, or a step failing, at every point of every operation: what its caller was promised holds, or it is undone. The points
 * are those that a run passes. In full with BERTH_TEST_FAULTS=all (`npm run test:faults`), else a spread of them under the quickest runtime.
 */

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Sandbox } from "../../src/gen/berth/v1/sandbox_pb.js";
import { type Phase, type Place, type Situation, SITUATIONS } from "./faults/situations.ts";
import { faultsOfHistory } from "./faults/history.ts";
import { deleteAll, hasEnded, idOf, told, untilWritten, waitFor } from "./life-support/support.ts";
import { Watcher } from "./life-support/watcher.ts";
import { CLASSES, TestNode } from "./node.ts";

const ALL = process.env["BERTH_TEST_FAULTS"] === "all";
/** In the short form one of so many is tried: a prime, so that every situation and end of an operation has its turn. */
const ONE_OF = 23;
const TRIED = ALL ? CLASSES : CLASSES.filter(({ name }) => name === "runc");
const MINUTES = 60_000;
const ACTIONS = ["kill", "fail"] as const;
type Action = (typeof ACTIONS)[number];

const tried = new Map<string, { points: number; survived: number }>();
let counter = 0;

/** By class and situation. */
const learned = new Map<string, readonly string[]>();

describe.each(TRIED)("under $name", ({ name: runtimeClass }) => {
  let place: Place;
  let watcher: Watcher;

  async function open(): Promise<void> {
    place = { node: await TestNode.start(), runtimeClass };
    watcher = new Watcher(place.node);
    await waitFor("the snapshot", () => watcher.begun);
  }

  async function close(): Promise<void> {
    await watcher.end();
    await place.node[Symbol.asyncDispose]();
  }

  beforeAll(open);
  afterAll(close);

  test.each(SITUATIONS)("$name", { timeout: ALL ? 120 * MINUTES : 2 * MINUTES }, async (situation) => {
    const points = await pointsOf(situation);
    const wrong: string[] = [];
    for (const action of ACTIONS) {
      const count = { points: 0, survived: 0 };
      tried.set(`${runtimeClass}|${situation.name}|${action}`, count);
      for (const point of points.filter((one) => canHave(action, one))) {
        if (!ALL && counter++ % ONE_OF !== 0) continue;
        count.points++;
        try {
          await tryPoint(situation, action, point, phaseOf(points, point));
          count.survived++;
        } catch (error) {
          const log = readFileSync(place.node.logFile, "utf8").split("\n").slice(-8).join("\n");
          wrong.push(`${action} ${point}: ${error instanceof Error ? error.message : String(error)}\n${log}`);
          await close();
          await open();
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test("nothing is left in the journal", async () => {
    expect(await rows(place.node)).toEqual({ sandboxes: 0, operations: 0 });
  });

  async function pointsOf(situation: Situation): Promise<readonly string[]> {
    const key = `${runtimeClass} ${situation.name}`;
    const known = learned.get(key);
    if (known) return known;
    rmSync(traceFile(place.node), { force: true });
    const id = await situation.before(place);
    place.node.fault("trace", ...failing(situation));
    await situation.call(place, id).catch(() => undefined);
    const passed = (): string[] => passedPoints(place.node).filter((point) => point.startsWith(`${situation.verb}/`));
    await waitFor("its end", () => passed().includes(`${situation.verb}/end/after`));
    await clean();
    const points = passed().filter((point) => !situation.failing || /\/(undo|end)\//.test(point));
    learned.set(key, points);
    return points;
  }

  async function tryPoint(situation: Situation, action: Action, point: string, phase: Phase): Promise<void> {
    const { node } = place;
    rmSync(traceFile(node), { force: true });
    const id = await situation.before(place);
    node.fault("trace", `${action} ${point}`, ...failing(situation));
    const answer = situation.call(place, id).catch(() => undefined);
    await waitFor(`passing ${point}`, () => passedPoints(node).includes(point));
    if (action === "kill") await node.died();
    await answer;
    node.fault();
    if (action === "kill") await node.startDaemon();
    await expectEnd(situation, action === "kill" ? situation.killed(phase) : situation.failed(phase, point));
    await clean();
  }

  /** It is there, whole, and there is a way on from it. */
  async function expectEnd(situation: Situation, end: string): Promise<void> {
    const { node } = place;
    const found = await waitFor(
      `"${end}"`,
      async () => {
        // A connection may still be cut for a moment.
        const { sandboxes } = await node.sandboxes.list({}).catch(() => ({ sandboxes: undefined }));
        const [sandbox] = sandboxes ?? [];
        return sandboxes && shown(sandbox) === end && sandbox?.status?.operation === undefined && { sandbox };
      },
      60_000,
    ).catch(async (error: unknown) => {
      const [sandbox] = (await node.sandboxes.list({})).sandboxes;
      throw new Error(`it is ${shown(sandbox)}: ${sandbox?.status?.message ?? ""}`, { cause: error });
    });
    const { sandbox } = found;
    const id = idOf(sandbox);
    const output = end === "nothing" ? "" : await node.output(id, "app");
    if (end === "PAUSED") await node.sandboxes.resume({ id });
    if (end.startsWith("FAILED")) await node.sandboxes.start({ id });
    if (end === "RUNNING" || end === "PAUSED" || end.startsWith("FAILED")) {
      await untilWritten(node, id, "app", `${end.startsWith("FAILED") ? output : output.replace(/ready\n$/, "")}ready\n`);
      if (situation.verb === "complete") await node.until(id, hasEnded);
      else expect(told((await node.sandboxes.stop({ id })).sandbox)).toEqual({ state: "STOPPED", containers: { app: "EXITED 3" } });
    }
    if (end === "STOPPED") expect(told(sandbox).containers).toEqual({ app: "EXITED 3" });
    if (end === "COMPLETED") expect(told(sandbox).containers).toEqual({ app: "EXITED 6" });
    if (end !== "nothing") expect(await node.output(id, "app")).toMatch(/^(ready\n(bye\n)?)*ready\nbye\n$/);
  }

  /** Deletes everything; nothing is left on the node, and those who watch were told all of it. */
  async function clean(): Promise<void> {
    const { node } = place;
    node.fault();
    await deleteAll(node);
    expect(node.leftovers()).toEqual([]);
    await waitFor("the last event", () => watcher.living.length === 0);
    expect(faultsOfHistory(watcher.events)).toEqual([]);
  }
});

/** Points that were survived of those tried, by operation and class. */
afterAll(() => {
  const cell = (runtimeClass: string, operation: string): string =>
    ACTIONS.flatMap((action) => {
      const { points, survived } = tried.get(`${runtimeClass}|${operation}|${action}`) ?? { points: 0, survived: 0 };
      return points === 0 ? [] : [`${action} ${survived}/${points}`];
    }).join(", ");
  const rows = SITUATIONS.map(({ name }) => [name, ...CLASSES.map((one) => cell(one.name, name))]);
  const lines = [["operation", ...CLASSES.map(({ name }) => name)], Array.from({ length: CLASSES.length + 1 }, () => "---"), ...rows];
  console.log(lines.map((line) => `| ${line.join(" | ")} |`).join("\n"));
});

/** What the journal has done cannot fail any more: after the begin and the end there is nothing that could. */
const canHave = (action: Action, point: string): boolean => action === "kill" || !/\/(begin|end)\/after$/.test(point);

const failing = ({ failing: point }: Situation): string[] => (point === undefined ? [] : [`fail ${point}`]);

const traceFile = (node: TestNode): string => join(node.dir, "faults.trace");

function passedPoints(node: TestNode): string[] {
  return existsSync(traceFile(node)) ? readFileSync(traceFile(node), "utf8").trimEnd().split("\n") : [];
}

function phaseOf(points: readonly string[], point: string): Phase {
  if (point.endsWith("/begin/before")) return "unborn";
  if (point.endsWith("/end/after")) return "over";
  const index = points.indexOf(point);
  const [touched, started] = ["/intend rootfs/before", "/intend app-start/after"].map((end) =>
    points.findIndex((one) => one.endsWith(end)),
  );
  if (touched !== undefined && index < touched) return "preparing";
  return started !== undefined && started >= 0 && index >= started ? "may have run" : "open";
}

function shown(sandbox: Sandbox | undefined): string {
  if (!sandbox) return "nothing";
  const { state, containers } = told(sandbox);
  // It is whole when its app runs: one that is to run again may wait for it.
  if (state === "RUNNING" && containers["app"] !== "RUNNING") return `RUNNING, app ${containers["app"]}`;
  return state === "FAILED" ? `FAILED ${sandbox.status?.reason}` : state;
}

/** What is left in the journal; berthd must let go of it for a moment. */
async function rows(node: TestNode): Promise<{ sandboxes: number; operations: number }> {
  await node.endDaemon("SIGTERM");
  const journal = new DatabaseSync(join(node.state, "journal.db"), { readOnly: true });
  const count = (table: string): number => Number(journal.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]);
  try {
    return { sandboxes: count("sandboxes"), operations: count("operations") };
  } finally {
    journal.close();
  }
}
