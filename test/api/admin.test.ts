import { mkdtemp, rm, stat } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { adminListener, startAdminServer } from "../../src/api/admin.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { VERSION } from "../../src/observe/version.ts";

async function start(unready: () => string[] = () => []) {
  const folder = await mkdtemp(join(tmpdir(), "berth-admin-"));
  const socketPath = `${folder}/admin.sock`;
  const metrics = await Metrics.create(() => ["RUNNING", "RUNNING", "FAILED"]);
  const server = await startAdminServer({ listen: `unix://${socketPath}`, metrics, unready });
  onTestFinished(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { socketPath, metrics };
}

async function get(socketPath: string, path: string): Promise<{ code: number | undefined; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number | undefined; body: string }>();
  request({ socketPath, path }, (answer) => {
    text(answer).then((body) => resolve({ code: answer.statusCode, body }), reject);
  })
    .on("error", reject)
    .end();
  return promise;
}

test("it lives, it is ready or says why not, and it tells its version", async () => {
  const reasons: string[] = [];
  const { socketPath } = await start(() => reasons);
  expect((await stat(socketPath)).mode & 0o777).toBe(0o660);
  expect(await get(socketPath, "/healthz")).toEqual({ code: 200, body: '{"status":"ok"}' });
  expect(await get(socketPath, "/readyz")).toEqual({ code: 200, body: '{"ready":true,"reasons":[]}' });
  reasons.push("recovering 3 sandboxes");
  expect(await get(socketPath, "/readyz")).toEqual({ code: 503, body: '{"ready":false,"reasons":["recovering 3 sandboxes"]}' });
  expect(JSON.parse((await get(socketPath, "/version")).body)).toEqual({ version: VERSION, node: process.version });
  expect((await get(socketPath, "/else")).code).toBe(404);
});

test("metrics count calls by method and code, sandboxes by state, and tell of the process", async () => {
  const { socketPath, metrics } = await start();
  metrics.answered("berth.v1.Sandboxes/Create", "OK", 0.3);
  metrics.answered("berth.v1.Sandboxes/Create", "NOT_FOUND", 0.001);
  for (let scrape = 0; scrape < 2; scrape += 1) {
    const { body } = await get(socketPath, "/metrics");
    expect(body).toContain('berth_rpc_total{method="berth.v1.Sandboxes/Create",code="OK"} 1\n');
    expect(body).toContain('berth_rpc_total{method="berth.v1.Sandboxes/Create",code="NOT_FOUND"} 1\n');
    expect(body).toContain('berth_rpc_duration_seconds_bucket{le="0.5",method="berth.v1.Sandboxes/Create",code="OK"} 1\n');
    expect(body).toContain('berth_sandboxes{state="RUNNING"} 2\n');
    expect(body).toContain('berth_sandboxes{state="STOPPED"} 0\n');
    expect(body).toContain("nodejs_eventloop_lag_seconds");
    expect(body).toContain("process_resident_memory_bytes");
  }
});

test("it listens on a unix socket or on loopback, and on nothing that others could reach", () => {
  expect(adminListener("/run/a.sock")).toEqual({ path: "/run/a.sock" });
  expect(adminListener("unix:///run/a.sock")).toEqual({ path: "/run/a.sock" });
  expect(adminListener("127.0.0.1:9091")).toEqual({ host: "127.0.0.1", port: 9091 });
  expect(adminListener("[::1]:0")).toEqual({ host: "::1", port: 0 });
  expect(adminListener("localhost:80")).toEqual({ host: "localhost", port: 80 });
  for (const address of [
    "0.0.0.0:80",
    "[::]:80",
    ":80",
    "80",
    "10.0.0.1:80",
    "example.org:80",
    "127.0.0.1:99999",
    "127.0.0.1.evil.org:80",
    "a.sock",
    "",
  ]) {
    expect(() => adminListener(address), address).toThrow(/cannot listen on/);
  }
});
