/** A real gRPC server over a small Sandboxes of the test's own: enough to see what crosses the wire. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Connection } from "../../src/api/client.ts";
import { ApiServer } from "../../src/api/server.ts";
import type { SandboxesPort } from "../../src/api/sandboxes-service.ts";
import { BerthError } from "../../src/errors.ts";
import { Node } from "../../src/gen/berth/v1/node_pb.js";
import { Sandboxes } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { Events } from "../../src/gen/berth/v1/events_pb.js";
import { Journal } from "../../src/journal/journal.ts";
import type { LogRecord } from "../../src/monitor/logs.ts";
import { createLogger } from "../../src/observe/logger.ts";
import type { ExecSession } from "../../src/sandbox/exec.ts";
import type { Output } from "../../src/sandbox/exec-output.ts";
import type { ExecRequest, TerminalSize } from "../../src/sandbox/exec-request.ts";
import type { NodeInfo } from "../../src/observe/inventory.ts";
import { Drain } from "../../src/sandbox/drain.ts";
import { EventFeed } from "../../src/sandbox/event-feed.ts";
import type { SandboxRecord, SandboxState } from "../../src/sandbox/record.ts";
import type { SandboxTarget, WaitUntil } from "../../src/sandbox/sandboxes.ts";
import type { SandboxRequest } from "../../src/sandbox/spec.ts";

/** A program of a test's own: what it is sent is kept, and it ends with 42 when its input ends or it is hung up on. */
export class MemorySession implements ExecSession {
  readonly sent: string[] = [];
  readonly #ended = Promise.withResolvers<void>();
  outputs: readonly Output[] = [];
  output = this.#output();

  async *#output(): AsyncGenerator<Output> {
    yield* this.outputs;
    await this.#ended.promise;
  }

  async exitCode(): Promise<number> {
    return 42;
  }

  async write(data: Uint8Array): Promise<void> {
    this.sent.push(`stdin ${Buffer.from(data).toString()}`);
  }

  closeInput(): void {
    this.sent.push("close");
    this.#ended.resolve();
  }

  resize({ columns, rows }: TerminalSize): void {
    this.sent.push(`resize ${columns} ${rows}`);
  }

  async signal(signal: number): Promise<void> {
    this.sent.push(`signal ${signal}`);
  }

  async hangUp(): Promise<void> {
    this.sent.push("hang up");
    this.#ended.resolve();
  }
}

/** What a test may change. */
export class MemorySandboxes implements SandboxesPort {
  readonly records = new Map<string, SandboxRecord>();
  /** Every call, in order. */
  readonly calls: { verb: string; argument: unknown }[] = [];
  /** Thrown by the next calls. */
  fault: Error | undefined;
  /** Awaited by create. */
  hold: Promise<void> = Promise.resolve();
  /** Answered by exec. */
  session = new MemorySession();
  logRecords: () => AsyncIterable<LogRecord[]> = async function* () {};

  #enter(verb: string, argument: unknown): void {
    this.calls.push({ verb, argument });
    if (this.fault !== undefined) throw this.fault;
  }

  async create(request: SandboxRequest, requestId: string, waitUntil: WaitUntil): Promise<SandboxRecord> {
    this.#enter("create", { request, requestId, waitUntil });
    await this.hold;
    const record = recordOf(request, (this.records.size + 1).toString(16).padStart(32, "0"));
    this.records.set(record.id, record);
    this.calls.push({ verb: "created", argument: record.id });
    return record;
  }

  get(target: SandboxTarget): SandboxRecord {
    this.#enter("get", target);
    const found = [...this.records.values()].find((record) =>
      "id" in target ? record.id === target.id : record.namespace === target.namespace && record.name === target.name,
    );
    if (found) return found;
    throw new BerthError("SandboxNotFound", `there is no sandbox ${"id" in target ? target.id : target.name}`);
  }

  list(filter: Parameters<SandboxesPort["list"]>[0]): { records: SandboxRecord[]; nextPageToken: string } {
    this.#enter("list", filter);
    const all = [...this.records.values()].filter(({ namespace }) => filter.namespace === undefined || namespace === filter.namespace);
    const start = Number(filter.pageToken || 0);
    const end = start + filter.pageSize;
    return { records: all.slice(start, end), nextPageToken: end < all.length ? String(end) : "" };
  }

  async start(id: string, requestId: string): Promise<SandboxRecord> {
    return this.#bring("start", { id, requestId }, "RUNNING");
  }

  async pause(id: string): Promise<SandboxRecord> {
    return this.#bring("pause", { id }, "PAUSED");
  }

  async resume(id: string): Promise<SandboxRecord> {
    return this.#bring("resume", { id }, "RUNNING");
  }

  #bring(verb: string, argument: { id: string; requestId?: string; graceMs?: number | undefined }, state: SandboxState): SandboxRecord {
    this.#enter(verb, argument);
    const record = this.get({ id: argument.id });
    record.state = state;
    return record;
  }

  async stop(id: string, graceMs?: number): Promise<SandboxRecord> {
    return this.#bring("stop", { id, graceMs }, "STOPPED");
  }

  renewLease(id: string, expiresAt: string, resourceVersion: string): SandboxRecord {
    this.#enter("renewLease", { id, expiresAt, resourceVersion });
    return { ...this.get({ id }), expiresAt };
  }

  async delete(id: string, graceMs?: number): Promise<boolean> {
    this.#enter("delete", { id, graceMs });
    return this.records.delete(id);
  }

  logs(id: string, container: string): AsyncIterable<LogRecord[]> {
    this.#enter("logs", { id, container });
    this.get({ id });
    return this.logRecords();
  }

  async exec(id: string, container: string, request: ExecRequest): Promise<ExecSession> {
    this.#enter("exec", { id, container, request });
    return this.session;
  }

  async bundles(target: SandboxTarget): ReturnType<SandboxesPort["bundles"]> {
    this.#enter("bundles", target);
    const provenance = [{ pointer: "/hostname", kind: "request" as const, source: "metadata.name" }];
    return { bundles: [{ container: "pause", configJson: "{}", provenance }], warnings: ["look out"] };
  }

  async render(request: SandboxRequest): ReturnType<SandboxesPort["render"]> {
    this.#enter("render", request);
    const provenance = [{ pointer: "/hostname", kind: "request" as const, source: "metadata.name" }];
    return {
      bundles: [{ container: "pause", configJson: "{}", config: {} as never, provenance }],
      enforcement: [],
      warnings: ["look out"],
    };
  }
}

export function recordOf({ metadata, spec }: SandboxRequest, id: string): SandboxRecord {
  return {
    id,
    ...metadata,
    labels: { ...metadata.labels },
    requestId: "",
    spec,
    wanted: "running",
    state: "RUNNING",
    reason: "",
    message: "",
    createdAt: "2026-11-21T10:00:00.123Z",
    resourceVersion: 3,
    generation: 1,
    startedAt: "2026-11-21T10:00:01.000Z",
    runtime: {
      className: "runsc",
      adapter: "runsc",
      binary: "/var/lib/berth/runtimes/x/runsc",
      digest: `sha256:${"a".repeat(64)}`,
      version: "release-20260905.0",
      platform: "systrap",
      traits: { ambient: false, ignoreCgroups: false } as never,
      flags: [],
    },
    pause: { name: "pause", id, state: "RUNNING", reason: "", stopSignal: 15, startedAt: "2026-11-21T10:00:00.500Z" },
    containers: spec.containers.map(({ name, image }, index) => ({
      name,
      id: (0xf00 + index).toString(16).padStart(32, "0"),
      state: "EXITED",
      reason: "Completed",
      exitCode: 0,
      startedAt: "2026-11-21T10:00:01.000Z",
      finishedAt: "2026-11-21T10:00:02.000Z",
      image,
      imageDigest: `sha256:${"b".repeat(64)}`,
      layers: [],
      stopSignal: 15,
    })),
    warnings: ["container web: added capabilities are not effective for uid 1000 after exec"],
    enforcement: [
      {
        container: "web",
        property: "securityContext.capabilities.add",
        requested: "CAP_NET_ADMIN",
        enforced: true,
        mechanism: "bounding set",
        note: "",
      },
    ],
    stages: [{ name: "image", milliseconds: 12.5 }],
  };
}

export const NODE: NodeInfo = {
  version: "0.1.0",
  hostname: "node-1",
  operatingSystem: "Debian GNU/Linux 12",
  kernelVersion: "6.1.0",
  architecture: "x64",
  cpus: 2,
  memoryBytes: 8_589_934_592,
  cgroupLayout: "v2",
  runtimeClasses: [
    {
      name: "runsc",
      aliases: ["gvisor"],
      adapter: "runsc",
      binary: "/usr/bin/runsc",
      ready: true,
      message: "",
      version: "release-20260905.0",
      digest: `sha256:${"a".repeat(64)}`,
      platform: "systrap",
      features: ["ambient-capabilities"],
    },
    {
      name: "crun",
      aliases: [],
      adapter: "crun",
      binary: "crun",
      ready: false,
      message: "crun is not on PATH",
      version: "",
      digest: "",
      platform: "",
      features: [],
    },
  ],
};

/** Starts a server in a folder of its own, with clients; everything goes when it is disposed of. */
export async function startServer() {
  const folder = await mkdtemp(join(tmpdir(), "berth-api-"));
  const address = `unix://${folder}/berthd.sock`;
  const sandboxes = new MemorySandboxes();
  const logged: string[] = [];
  const answered: string[] = [];
  const journal = new Journal(`${folder}/journal.db`);
  const server = await ApiServer.start({
    sandboxes,
    events: new EventFeed(journal),
    inventory: { info: async () => NODE },
    drain: new Drain(journal),
    listen: [address],
    logger: createLogger("debug", { write: (line) => void logged.push(line) }),
    answered: (method, code) => void answered.push(`${method} ${code}`),
  });
  server.setServing(true);
  const connection = new Connection(address);
  return {
    folder,
    address,
    socket: `${folder}/berthd.sock`,
    server,
    sandboxes,
    journal,
    logged,
    answered,
    connection,
    client: connection.client(Sandboxes),
    node: connection.client(Node),
    events: connection.client(Events),
    async [Symbol.asyncDispose]() {
      connection.close();
      await server.close(1000);
      journal.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A request that breaks no rule. */
export function goodRequest(name = "web") {
  return { metadata: { namespace: "default", name }, spec: { containers: [{ name: "web", image: "oci:/srv/busybox" }] } };
}
