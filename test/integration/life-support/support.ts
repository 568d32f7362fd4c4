/** What the tests of a sandbox's life share. */

import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { type Refusal, refusalOf } from "../../../src/api/client.ts";
import { ContainerState, type ContainerSchema, type Sandbox, SandboxState } from "../../../src/gen/berth/v1/sandbox_pb.js";
import type { LogEntry, LogStream } from "../../../src/gen/berth/v1/sandboxes_pb.js";
import { findBinary } from "../../../src/runtime/binaries.ts";
import { type ClassUnderTest, type NodeSettings, TestNode } from "../node.ts";

export type ContainerInit = MessageInitShape<typeof ContainerSchema>;

/**
 * One berthd for all tests of a file or group. After each test, or once after all of them, every sandbox is deleted, and nothing
 * may be left of any.
 */
export function sharedNode(settings: NodeSettings = {}, clean: "each" | "once" = "each"): () => TestNode {
  let node: TestNode | undefined;
  const current = (): TestNode => {
    if (node === undefined) throw new Error("the node is there only while tests run");
    return node;
  };
  beforeAll(async () => {
    node = await TestNode.start(settings);
  });
  const expectNothingLeft = async (): Promise<void> => {
    await deleteAll(current());
    expect(current().leftovers()).toEqual([]);
  };
  if (clean === "each") afterEach(expectNothingLeft);
  afterAll(async () => {
    try {
      if (clean === "once" && node !== undefined) await expectNothingLeft();
    } finally {
      await node?.[Symbol.asyncDispose]();
    }
  });
  return current;
}

export async function deleteAll(node: TestNode): Promise<void> {
  const { sandboxes } = await node.sandboxes.list({ pageSize: 1000 });
  await Promise.all(sandboxes.map(({ metadata }) => node.sandboxes.delete({ id: metadata?.id ?? "", gracePeriod: seconds(0) })));
}

/** A container of busybox that runs a script. */
export function shell(node: TestNode, name: string, script: string): { name: string; image: string; command: string[] } {
  return { name, image: node.image, command: ["/bin/sh", "-c", script] };
}

export async function create(node: TestNode, name: string, runtimeClassName: string, containers: ContainerInit[]): Promise<Sandbox> {
  const { sandbox } = await node.sandboxes.create({ metadata: { name }, spec: { runtimeClassName, containers } });
  if (!sandbox) throw new Error("berthd answered no sandbox");
  return sandbox;
}

export const idOf = (sandbox: Sandbox | undefined): string => sandbox?.metadata?.id ?? "";

export const seconds = (count: number): { seconds: bigint; nanos: number } => ({
  seconds: BigInt(Math.floor(count)),
  nanos: (count % 1) * 1e9,
});

/** What berthd refused; throws when it did not refuse. */
export async function refusalFrom(call: Promise<unknown>): Promise<Refusal> {
  const refused = await call.then(
    () => undefined,
    (error: unknown) => {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      return refusal;
    },
  );
  if (!refused) throw new Error("berthd did not refuse");
  return refused;
}

/** State of the sandbox and of its containers, as words: what most tests want to compare. An exit code that is not there is "unknown". */
export function told(sandbox: Sandbox | undefined): { state: string; containers: Record<string, string> } {
  const containers = (sandbox?.status?.containers ?? []).map(({ name, state, exitCode }) => {
    const ended = state === ContainerState.EXITED || state === ContainerState.UNKNOWN;
    return [name, `${ContainerState[state]}${ended ? ` ${exitCode ?? "unknown"}` : ""}`];
  });
  return { state: SandboxState[sandbox?.status?.state ?? 0] ?? "", containers: Object.fromEntries(containers) as Record<string, string> };
}

export const hasEnded = (sandbox: Sandbox): boolean =>
  [SandboxState.COMPLETED, SandboxState.STOPPED, SandboxState.FAILED].includes(sandbox.status?.state ?? 0);

/** Looks until the condition holds; throws with `what` when it takes too long. */
export async function waitFor<T>(
  what: string,
  look: () => Promise<T | false | undefined> | T | false | undefined,
  milliseconds = 20_000,
): Promise<T> {
  for (const deadline = Date.now() + milliseconds; ; await sleep(20)) {
    const found = await look();
    if (found !== false && found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`${what} did not happen`);
  }
}

/** Waits until a container has written the text to stdout. */
export async function untilWritten(node: TestNode, id: string, container: string, text: string): Promise<void> {
  await waitFor(`"${text}" on stdout of ${container}`, async () => (await node.output(id, container)).includes(text));
}

export async function entriesOf(node: TestNode, id: string, container: string): Promise<LogEntry[]> {
  const all: LogEntry[] = [];
  for await (const { entries } of node.sandboxes.logs({ id, container })) all.push(...entries);
  return all;
}

/** The bytes of one stream: a line feed after every entry that is not partial. */
export function bytesOf(entries: readonly LogEntry[], stream: LogStream): Buffer {
  return Buffer.concat(
    entries.filter((entry) => entry.stream === stream).flatMap(({ data, partial }) => (partial ? [data] : [data, Buffer.from("\n")])),
  );
}

/** A runtime that can be held or made to fail at a verb: a script around the real one. */
export interface FaultyRuntime {
  readonly className: string;
  readonly runtimeClass: object;
  /** Calls of the verb wait from now on. */
  hold(verb: string): void;
  /** Calls of the verb fail from now on. */
  fail(verb: string): void;
  /** Waits until a call of the verb is held. */
  held(verb: string): Promise<void>;
  /** Lets those that are held go on. */
  release(): void;
  /** Fails no more. */
  mend(): void;
}

/** The binary that a class has without a fault. */
function realBinary({ name, adapter }: ClassUnderTest): string {
  return name === "runsc-current" ? (process.env["BERTH_TEST_RUNSC_CURRENT"] ?? "") : findBinary(adapter);
}

/** `dir` is there before the node is and goes after it. The class's name is that of the real one with "faulty-" before it. */
export function faultyRuntime(dir: string, real: ClassUnderTest): FaultyRuntime {
  const { name, adapter } = real;
  const at = (...names: string[]): string => join(dir, name, ...names);
  mkdirSync(at(), { recursive: true });
  const script = `#!/bin/sh
# The verb is the first word that is no flag and no flag's value.
verb=
for word; do
  case "$word" in create|start|delete|kill|state|run) verb=$word; break ;; esac
done
if [ -n "$verb" ] && [ -e ${at("hold-")}"$verb" ]; then
  : >${at("held-")}"$verb"
  while [ -e ${at("hold-")}"$verb" ]; do sleep 0.02; done
fi
if [ -n "$verb" ] && [ -e ${at("fail-")}"$verb" ]; then
  echo "injected fault at $verb" >&2
  exit 1
fi
exec ${realBinary(real)} "$@"
`;
  writeFileSync(at("runtime"), script);
  chmodSync(at("runtime"), 0o755);
  const remove = (prefix: string): void => {
    for (const file of readdirSync(at())) if (file.startsWith(prefix)) rmSync(at(file));
  };
  return {
    className: `faulty-${name}`,
    runtimeClass: { name: `faulty-${name}`, adapter, binary: at("runtime") },
    hold: (verb) => writeFileSync(at(`hold-${verb}`), ""),
    fail: (verb) => writeFileSync(at(`fail-${verb}`), ""),
    held: async (verb) => {
      await waitFor(`a held ${verb}`, () => existsSync(at(`held-${verb}`)));
    },
    release: () => {
      remove("hold-");
      remove("held-");
    },
    mend: () => remove("fail-"),
  };
}

/** Pid in a file of a container's monitor: "pid" is the process that it watches, "conmon.pid" its own. */
export function pidOf(node: TestNode, sandboxId: string, containerId: string, file: "pid" | "conmon.pid"): number {
  return Number(readFileSync(join(node.run, "s", sandboxId, containerId, file), "utf8"));
}

export function writeDocument(node: TestNode, name: string, text: string): string {
  const file = join(node.dir, "documents", name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}
