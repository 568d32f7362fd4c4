import { setTimeout as sleep } from "node:timers/promises";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { Health as HealthDescription } from "../gen/grpc/health/v1/health_pb.js";
import type { Logger } from "../observe/logger.ts";
import type { NodeInventory } from "../observe/inventory.ts";
import { serviceDefinition } from "./adapter.ts";
import { implementation } from "./handlers.ts";
import { type EventsPort, eventsService } from "./events-service.ts";
import { Health } from "./health.ts";
import { type DrainPort, nodeService } from "./node-service.ts";
import { reflectionServices } from "./reflection.ts";
import { type SandboxesPort, sandboxesService } from "./sandboxes-service.ts";
import { claimSocketPath, guardSocket, socketPath } from "./unix-socket.ts";

export interface ApiServerOptions {
  readonly sandboxes: SandboxesPort;
  readonly events: EventsPort;
  readonly inventory: Pick<NodeInventory, "info">;
  readonly drain: DrainPort;
  /** Each unix:///PATH. */
  readonly listen: readonly string[];
  readonly logger: Logger;
  /** Counts an answered call; see Metrics.answered. */
  readonly answered?: (method: string, code: string, seconds: number) => void;
}

/** The gRPC server. It is not serving, for grpc.health.v1, until setServing says so, and while the node is drained. */
export class ApiServer {
  readonly #server: Server;
  readonly #health: Health;
  readonly #drain: DrainPort;
  readonly #closing: AbortController;
  #open = false;

  private constructor(server: Server, health: Health, drain: DrainPort, closing: AbortController) {
    this.#server = server;
    this.#health = health;
    this.#drain = drain;
    this.#closing = closing;
  }

  /** Listens on every socket, or on none: throws when one cannot be had. */
  static async start(options: ApiServerOptions): Promise<ApiServer> {
    const closing = new AbortController();
    const node = nodeService(options.inventory, options.drain, () => api.#tellHealth());
    const own = [sandboxesService(options.sandboxes), eventsService(options.events), node];
    const health = new Health(own.map(({ description }) => description.typeName));
    const reflection = reflectionServices([...own.map(({ description }) => description), HealthDescription]);
    const context = { logger: options.logger, answered: options.answered ?? (() => undefined), closing: closing.signal };
    const server = new Server();
    const api = new ApiServer(server, health, options.drain, closing);
    for (const entry of [...own, health.service, ...reflection]) {
      server.addService(serviceDefinition(entry.description), implementation(entry, context));
    }
    try {
      for (const address of options.listen) await bind(server, address);
    } catch (error) {
      server.forceShutdown();
      throw error;
    }
    return api;
  }

  setServing(serving: boolean): void {
    this.#open = serving;
    this.#tellHealth();
  }

  /** Whether calls are taken; a drained node takes them too. */
  get serving(): boolean {
    return this.#open;
  }

  #tellHealth(): void {
    this.#health.setServing(this.#open && !this.#drain.active);
  }

  /** Takes no new calls, ends streams, lets unary calls finish for so long, then hangs up. What they began goes on. */
  async close(graceMs: number): Promise<void> {
    this.setServing(false);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.tryShutdown(() => resolve());
    this.#closing.abort();
    const patience = new AbortController();
    await Promise.race([promise, sleep(graceMs, undefined, { signal: patience.signal }).catch(() => undefined)]);
    patience.abort();
    this.#server.forceShutdown();
  }
}

async function bind(server: Server, address: string): Promise<void> {
  const path = socketPath(address);
  if (path === undefined) throw new Error(`cannot listen on ${address}: it is not unix:///PATH`);
  await claimSocketPath(path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => (error ? reject(error) : resolve()));
  await promise;
  guardSocket(path);
}
