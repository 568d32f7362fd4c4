import { execFile } from "node:child_process";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { Connection, refusalOf } from "../../src/api/client.ts";
import { ApiServer } from "../../src/api/server.ts";
import { claimSocketPath, groupId, socketPath } from "../../src/api/unix-socket.ts";
import { HealthCheckResponse_ServingStatus as ServingStatus, Health } from "../../src/gen/grpc/health/v1/health_pb.js";
import { createLogger } from "../../src/observe/logger.ts";
import { goodRequest, MemorySandboxes, NODE, startServer } from "./fixture.ts";

const run = promisify(execFile);

/** `buf curl` against a socket, with nothing but what reflection tells it. */
async function bufCurl(socket: string, ...rest: string[]): Promise<string> {
  const { stdout } = await run("node_modules/.bin/buf", [
    ...["curl", "--reflect", "--protocol", "grpc", "--http2-prior-knowledge", "--unix-socket", socket],
    ...rest,
  ]);
  return stdout;
}

test("buf curl lists every method by reflection alone", async () => {
  await using api = await startServer();
  expect((await bufCurl(api.socket, "http://localhost", "--list-methods")).trim().split("\n")).toEqual([
    "berth.v1.Events/Watch",
    "berth.v1.Node/Drain",
    "berth.v1.Node/Info",
    "berth.v1.Node/Undrain",
    "berth.v1.Sandboxes/Create",
    "berth.v1.Sandboxes/Delete",
    "berth.v1.Sandboxes/Exec",
    "berth.v1.Sandboxes/Get",
    "berth.v1.Sandboxes/GetBundles",
    "berth.v1.Sandboxes/List",
    "berth.v1.Sandboxes/Logs",
    "berth.v1.Sandboxes/Pause",
    "berth.v1.Sandboxes/Render",
    "berth.v1.Sandboxes/RenewLease",
    "berth.v1.Sandboxes/Resume",
    "berth.v1.Sandboxes/Start",
    "berth.v1.Sandboxes/Stop",
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/List",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
  ]);
});

test.for(["grpc-v1", "grpc-v1alpha"])(
  "buf curl calls over %s, with 64-bit numbers and durations as protobuf JSON has them",
  async (protocol) => {
    await using api = await startServer();
    const request = { ...goodRequest(), spec: { containers: [{ name: "web", image: "oci:/x", securityContext: { runAsUser: "0" } }] } };
    const created = await bufCurl(
      ...([api.socket, "--reflect-protocol", protocol, "-d", JSON.stringify(request)] as const),
      "http://localhost/berth.v1.Sandboxes/Create",
    );
    const { sandbox } = JSON.parse(created) as { sandbox: { metadata: { id: string }; status: { state: string } } };
    expect(sandbox.status.state).toBe("SANDBOX_STATE_RUNNING");
    await bufCurl(
      ...([api.socket, "-d", JSON.stringify({ id: sandbox.metadata.id, gracePeriod: "1.5s" })] as const),
      "http://localhost/berth.v1.Sandboxes/Delete",
    );
    expect(api.sandboxes.calls.at(-1)).toEqual({ verb: "delete", argument: { id: sandbox.metadata.id, graceMs: 1500 } });
    const health = await bufCurl(api.socket, "-d", '{"service":"berth.v1.Sandboxes"}', "http://localhost/grpc.health.v1.Health/Check");
    expect(JSON.parse(health)).toEqual({ status: "SERVING" });
  },
);

test("health follows the server: check, list and watch, until it shuts down", async () => {
  await using api = await startServer();
  using connection = new Connection(api.address);
  const health = connection.client(Health);
  const seen: (ServingStatus | string)[] = [];
  const watching = (async () => {
    try {
      for await (const { status } of health.watch({ service: "berth.v1.Node" })) seen.push(status);
    } catch (error) {
      seen.push(refusalOf(error)?.code ?? "no refusal");
    }
  })();
  await expect.poll(() => seen).toEqual([ServingStatus.SERVING]);
  api.server.setServing(false);
  await expect.poll(() => seen).toEqual([ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
  expect((await health.check({})).status).toBe(ServingStatus.NOT_SERVING);
  expect(Object.keys((await health.list({})).statuses).toSorted()).toEqual(["", "berth.v1.Events", "berth.v1.Node", "berth.v1.Sandboxes"]);
  expect(await health.check({ service: "x" }).catch((error: unknown) => refusalOf(error)?.code)).toBe("NOT_FOUND");
  for await (const { status } of health.watch({ service: "x" })) {
    expect(status).toBe(ServingStatus.SERVICE_UNKNOWN);
    break;
  }
  await api.server.close(1000);
  await watching;
  expect(seen.at(-1)).toBe("UNAVAILABLE");
});

test("shutting down lets a running call finish", async () => {
  await using api = await startServer();
  const hold = Promise.withResolvers<void>();
  api.sandboxes.hold = hold.promise;
  const creating = api.client.create(goodRequest());
  await expect.poll(() => api.sandboxes.calls.length).toBe(1);
  const closing = api.server.close(5000);
  hold.resolve();
  expect((await creating).sandbox?.metadata?.name).toBe("web");
  await closing;
});

test("a call that outlasts the shutdown is hung up on, and still finishes its work", async () => {
  await using api = await startServer();
  const hold = Promise.withResolvers<void>();
  api.sandboxes.hold = hold.promise;
  const creating = api.client.create(goodRequest()).catch((error: unknown) => refusalOf(error)?.code);
  await expect.poll(() => api.sandboxes.calls.length).toBe(1);
  await api.server.close(50);
  expect(await creating).toMatch(/UNAVAILABLE|CANCELLED|INTERNAL/);
  hold.resolve();
  await expect.poll(() => api.sandboxes.records.size).toBe(1);
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "berth-socket-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function listenOn(...listen: string[]): Promise<ApiServer> {
  const server = await ApiServer.start({
    sandboxes: new MemorySandboxes(),
    events: { watch: async function* () {} },
    inventory: { info: async () => NODE },
    drain: { active: false },
    listen,
    logger: createLogger("silent"),
  });
  onTestFinished(() => server.close(100));
  return server;
}

test("it listens on several sockets, for owner and group only", async () => {
  const path = await folder();
  await listenOn(`unix://${path}/a.sock`, `unix://${path}/b.sock`);
  for (const name of ["a", "b"]) {
    expect((await stat(`${path}/${name}.sock`)).mode & 0o777).toBe(0o660);
    using connection = new Connection(`unix://${path}/${name}.sock`);
    expect((await connection.client(Health).check({})).status).toBe(ServingStatus.NOT_SERVING);
  }
});

test("a socket that nobody answers on is taken over, one that somebody answers on is not", async () => {
  const path = `${await folder()}/a.sock`;
  await leaveStaleSocket(path);
  await listenOn(`unix://${path}`);
  await expect(listenOn(`unix://${path}`)).rejects.toThrow(/another process answers on/);
  using connection = new Connection(`unix://${path}`);
  expect((await connection.client(Health).check({})).status).toBe(ServingStatus.NOT_SERVING);
});

test("a file that is no socket is left alone", async () => {
  const path = `${await folder()}/a.sock`;
  await writeFile(path, "precious");
  await expect(listenOn(`unix://${path}`)).rejects.toThrow(/is not a socket/);
  expect((await stat(path)).size).toBe(8);
});

test("a path that is relative or too long for a socket is refused", async () => {
  await expect(claimSocketPath("a.sock")).rejects.toThrow(/not absolute/);
  await expect(claimSocketPath(`/tmp/${"x".repeat(110)}`)).rejects.toThrow(/longer than 107 bytes/);
  expect(["unix:///a", "unix:/a", "unix://a", "/a", "http://x", "unix:///", "unix:///a\0b"].map(socketPath)).toEqual([
    "/a",
    ...Array.from({ length: 6 }, () => undefined),
  ]);
});

test("the group is found in /etc/group by its full name", () => {
  const groups = "root:x:0:\nberthold:x:7:\nberth:x:998:a,b\n";
  expect(groupId(groups, "berth")).toBe(998);
  expect(groupId("root:x:0:\n", "berth")).toBeUndefined();
});

/** Binds a socket in a process that is killed, so that its file stays. */
async function leaveStaleSocket(path: string): Promise<void> {
  const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  await run(process.execPath, ["-e", script]).catch(() => undefined);
  expect((await stat(path)).isSocket()).toBe(true);
}
