import type { FastifyInstance } from "fastify";
import type { Metrics } from "../observe/metrics.ts";
import { VERSION } from "../observe/version.ts";
import { claimSocketPath, guardSocket, socketPath } from "./unix-socket.ts";

export interface AdminServerOptions {
  /** unix:///PATH or /PATH, or a loopback host:port. */
  readonly listen: string;
  readonly metrics: Pick<Metrics, "contentType" | "text">;
  /** Why berthd cannot take calls now; empty when it can. */
  readonly unready: () => readonly string[];
}

type Listener = { readonly path: string } | { readonly host: string; readonly port: number };

/** Starts the admin HTTP server: /healthz, /readyz, /metrics, /version. Close it with close(). */
export async function startAdminServer(options: AdminServerOptions): Promise<FastifyInstance> {
  const listener = adminListener(options.listen);
  const { default: fastify } = await import("fastify");
  const server = fastify({ logger: false, forceCloseConnections: true });
  server.get("/healthz", () => ({ status: "ok" }));
  server.get("/readyz", (_request, reply) => {
    const reasons = options.unready();
    return reply.code(reasons.length === 0 ? 200 : 503).send({ ready: reasons.length === 0, reasons });
  });
  server.get("/metrics", async (_request, reply) => reply.type(options.metrics.contentType).send(await options.metrics.text()));
  server.get("/version", () => ({ version: VERSION, node: process.version }));
  if ("path" in listener) await claimSocketPath(listener.path);
  await server.listen(listener);
  if ("path" in listener) guardSocket(listener.path);
  return server;
}

/** Reads the address; whatever other hosts could reach is refused, as nobody is asked who they are. */
export function adminListener(address: string): Listener {
  const path = address.startsWith("/") ? address : socketPath(address);
  if (path !== undefined) return { path };
  const { host, port } = /^(?:https?:\/\/)?(?<host>127\.\d+\.\d+\.\d+|localhost|\[::1\]):(?<port>\d{1,5})$/.exec(address)?.groups ?? {};
  if (host === undefined || Number(port) > 65_535) {
    throw new Error(`the admin server cannot listen on ${address}: it takes unix:///PATH or a port of loopback such as 127.0.0.1:9091`);
  }
  return { host: host.replace(/[[\]]/g, ""), port: Number(port) };
}
