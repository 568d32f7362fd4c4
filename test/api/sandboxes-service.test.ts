import { setTimeout as sleep } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { refusalOf } from "../../src/api/client.ts";
import { BerthError, invalidRequest } from "../../src/errors.ts";
import {
  AmbientMode,
  RecursiveReadOnly,
  RestartPolicy,
  SandboxState,
  StorageMedium,
  SupplementalGroupsPolicy,
} from "../../src/gen/berth/v1/sandbox_pb.js";
import { LogStream, OriginKind, SandboxesCreateRequestSchema, WaitUntil } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { BadRequestSchema } from "../../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.js";
import type { LogRecord } from "../../src/monitor/logs.ts";
import type { SandboxRequest } from "../../src/sandbox/spec.ts";
import { goodRequest, startServer } from "./fixture.ts";

const ID = "0123456789abcdef0123456789abcdef";

/** What a call was refused with. */
async function refusal(call: Promise<unknown>) {
  const thrown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  const found = refusalOf(thrown);
  if (!found) throw new Error("the call was not refused", { cause: thrown });
  return found;
}

const fields = (found: Awaited<ReturnType<typeof refusal>>) => found.violations.map(({ field }) => field);

test("a request reaches the heart as it was parsed, and the record comes back as a message", async () => {
  await using api = await startServer();
  const { sandbox } = await api.client.create({
    requestId: "r-1",
    metadata: { name: "web", labels: { app: "web" } },
    spec: {
      runtimeClassName: "runc",
      containers: [
        {
          name: "web",
          image: "oci:/srv/busybox:latest",
          command: ["sh"],
          args: ["-c", ""],
          env: [{ name: "A", value: "" }],
          workingDir: "/tmp",
          securityContext: {
            runAsUser: 0n,
            runAsGroup: 1000n,
            runAsNonRoot: false,
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            umask: 0o27,
            capabilities: { add: ["net_admin"], drop: ["KILL"], ambientMode: AmbientMode.LIST, ambient: ["NET_ADMIN"] },
          },
          volumeMounts: [{ name: "data", mountPath: "/data/", readOnly: true, recursiveReadOnly: RecursiveReadOnly.IF_POSSIBLE }],
        },
      ],
      securityContext: {
        runAsUser: 5n,
        runAsNonRoot: true,
        supplementalGroups: [7n, 8n],
        supplementalGroupsPolicy: SupplementalGroupsPolicy.STRICT,
      },
      hostname: "host",
      requireEnforcement: true,
      hostAliases: [{ ip: "10.0.0.5", hostnames: ["db"] }],
      volumes: [
        { name: "data", source: { case: "emptyDir", value: { medium: StorageMedium.MEMORY, sizeLimit: "64Mi" } } },
        { name: "scratch", source: { case: "tmpfs", value: { mode: 0o750 } } },
      ],
      restartPolicy: RestartPolicy.ON_FAILURE,
    },
  });
  expect(api.sandboxes.calls[0]?.argument).toEqual({
    requestId: "r-1",
    waitUntil: "running",
    request: {
      metadata: { namespace: "default", name: "web", labels: { app: "web" }, annotations: {} },
      spec: {
        runtimeClassName: "runc",
        containers: [
          {
            name: "web",
            image: "oci:/srv/busybox:latest",
            command: ["sh"],
            args: ["-c", ""],
            env: [{ name: "A", value: "" }],
            workingDir: "/tmp",
            securityContext: {
              runAsUser: 0,
              runAsGroup: 1000,
              runAsNonRoot: false,
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              umask: 0o27,
              capabilities: { add: ["CAP_NET_ADMIN"], drop: ["CAP_KILL"], ambient: ["CAP_NET_ADMIN"] },
            },
            volumeMounts: [{ name: "data", mountPath: "/data", readOnly: true, recursiveReadOnly: "IfPossible" }],
            rlimits: [],
            devices: [],
          },
        ],
        securityContext: { runAsUser: 5, runAsNonRoot: true, supplementalGroups: [7, 8], supplementalGroupsPolicy: "Strict", sysctls: [] },
        hostname: "host",
        requireEnforcement: true,
        hostAliases: [{ ip: "10.0.0.5", hostnames: ["db"] }],
        volumes: [
          { name: "data", emptyDir: { medium: "Memory", sizeLimit: 67_108_864 } },
          { name: "scratch", tmpfs: { mode: 0o750 } },
        ],
        restartPolicy: "OnFailure",
      },
    },
  });
  expect(sandbox?.spec?.volumes.map(({ source }) => source)).toMatchObject([
    { case: "emptyDir", value: { medium: StorageMedium.MEMORY, sizeLimit: "67108864" } },
    { case: "tmpfs", value: { sizeLimit: "", mode: 0o750 } },
  ]);
  expect(sandbox?.spec?.containers[0]?.volumeMounts).toMatchObject([{ recursiveReadOnly: RecursiveReadOnly.IF_POSSIBLE }]);
  expect(sandbox?.spec?.securityContext).toMatchObject({ runAsUser: 5n, supplementalGroups: [7n, 8n] });
  expect(sandbox?.metadata).toMatchObject({ namespace: "default", name: "web", labels: { app: "web" } });
  expect(sandbox?.metadata?.createdAt).toMatchObject({ seconds: BigInt(Date.UTC(2026, 10, 21, 10) / 1000), nanos: 123_000_000 });
  expect(sandbox?.spec?.containers[0]?.securityContext).toMatchObject({ runAsUser: 0n, runAsGroup: 1000n });
  expect(sandbox?.status?.containers[0]).toMatchObject({ name: "web", exitCode: 0 });
  expect(sandbox?.status?.stages[0]?.duration).toMatchObject({ seconds: 0n, nanos: 12_500_000 });
  expect(api.answered).toEqual(["berth.v1.Sandboxes/Create OK"]);
});

test("an unset user stays unset, and modes of ambient arrive as never, auto or the list", async () => {
  await using api = await startServer();
  const modes = [AmbientMode.UNSPECIFIED, AmbientMode.NEVER, AmbientMode.AUTO, AmbientMode.LIST];
  for (const [index, ambientMode] of modes.entries()) {
    const request = goodRequest(`web-${index}`);
    await api.client.create({
      ...request,
      spec: { containers: [{ ...request.spec.containers[0], securityContext: { capabilities: { ambientMode } } }] },
    });
  }
  const requests = api.sandboxes.calls.flatMap(({ argument }) => (argument as { request?: SandboxRequest }).request ?? []);
  const contexts = requests.map(({ spec }) => spec.containers[0]?.securityContext);
  expect(contexts.map((context) => context?.capabilities.ambient)).toEqual(["never", "never", "auto", []]);
  expect(contexts.every((context) => context?.runAsUser === undefined)).toBe(true);
});

test("every violation of a request is named at once, with field, rule, value and way out, and nothing is called", async () => {
  await using api = await startServer();
  const found = await refusal(
    api.client.create({
      requestId: "x".repeat(129),
      metadata: { name: "a/b", id: ID, createdAt: { seconds: 1n }, resourceVersion: "7", generation: 2n },
      spec: {
        containers: [
          {
            name: "pause",
            image: "busybox",
            securityContext: { runAsUser: -1n, runAsGroup: 4_294_967_296n, capabilities: { add: ["CAP_CAP_KILL"], ambient: ["KILL"] } },
          },
          { name: "b", image: "oci:/x", securityContext: { capabilities: { ambientMode: 77 as AmbientMode } } },
        ],
      },
    }),
  );
  expect(found).toMatchObject({ code: "INVALID_ARGUMENT", reason: "InvalidRequest", retryable: false });
  expect(fields(found)).toEqual([
    "requestId",
    "metadata.id",
    "metadata.createdAt",
    "metadata.resourceVersion",
    "metadata.generation",
    "spec.containers[0].securityContext.capabilities.ambient",
    "spec.containers[1].securityContext.capabilities.ambientMode",
    "metadata.name",
    "spec.containers[0].name",
    "spec.containers[0].image",
    "spec.containers[0].securityContext.capabilities.add[0]",
    "spec.containers[0].securityContext.runAsUser",
    "spec.containers[0].securityContext.runAsGroup",
  ]);
  expect(found.violations.every(({ rule, value, allowed }) => rule !== "" && value !== "" && allowed !== "")).toBe(true);
  expect(api.sandboxes.calls).toEqual([]);
});

test.for(["get", "stop", "delete", "logs"] as const)("%s refuses an id that is no full id", async (verb) => {
  await using api = await startServer();
  for (const id of ["", "abc", ID.toUpperCase(), `${ID}0`, `${ID}\n`, "../../../../../../../../etc/passwd0"]) {
    const call = {
      get: () => api.client.get({ target: { case: "id", value: id } }),
      stop: () => api.client.stop({ id }),
      delete: () => api.client.delete({ id }),
      logs: () => drain(api.client.logs({ id })),
    }[verb]();
    const found = await refusal(call);
    expect(found.code).toBe("INVALID_ARGUMENT");
    expect(fields(found)).toEqual(["id"]);
  }
  expect(api.sandboxes.calls).toEqual([]);
});

test("get needs one of id and name, and an empty namespace is the default one", async () => {
  await using api = await startServer();
  await api.client.create(goodRequest());
  expect(fields(await refusal(api.client.get({})))).toEqual(["target"]);
  expect(fields(await refusal(api.client.get({ target: { case: "name", value: {} } })))).toEqual(["name.name"]);
  const { sandbox } = await api.client.get({ target: { case: "name", value: { name: "web" } } });
  expect(sandbox?.metadata?.name).toBe("web");
});

test("a page has 100 sandboxes unless asked, and sizes out of range are refused", async () => {
  await using api = await startServer();
  await api.client.list({});
  await api.client.list({ namespace: "a", labels: { x: "y" }, pageSize: 1000, pageToken: "t" });
  expect(api.sandboxes.calls.map(({ argument }) => argument)).toEqual([
    { labels: {}, pageSize: 100, pageToken: "" },
    { namespace: "a", labels: { x: "y" }, pageSize: 1000, pageToken: "t" },
  ]);
  for (const pageSize of [-1, 1001]) expect(fields(await refusal(api.client.list({ pageSize })))).toEqual(["pageSize"]);
});

test("a grace is 10 seconds unless given, and lies between 0 and one hour", async () => {
  await using api = await startServer();
  for (const gracePeriod of [undefined, {}, { seconds: 1n, nanos: 500_000_000 }, { seconds: 3600n }]) {
    await api.client.delete({ id: ID, ...(gracePeriod ? { gracePeriod } : {}) });
  }
  expect(api.sandboxes.calls.map(({ argument }) => (argument as { graceMs: number }).graceMs)).toEqual([undefined, 0, 1500, 3_600_000]);
  for (const gracePeriod of [
    { seconds: -1n },
    { seconds: 3600n, nanos: 1 },
    { nanos: -1 },
    { seconds: 2n ** 62n },
    { nanos: 2_000_000_000 },
  ]) {
    expect(fields(await refusal(api.client.stop({ id: ID, gracePeriod })))).toEqual(["gracePeriod"]);
  }
});

test("a field that this berthd does not know is refused with its message and number, wherever it stands", async () => {
  await using api = await startServer();
  const request = create(SandboxesCreateRequestSchema, { ...goodRequest(), requestId: "r" });
  // Field 99, a varint of 1.
  const unknown = Buffer.from([0x98, 0x06, 0x01]);
  const container = request.spec?.containers[0];
  if (container) container.$unknown = [{ no: 99, wireType: 0, data: Buffer.from([1]) }];
  const bytes = Buffer.concat([toBinary(SandboxesCreateRequestSchema, request), unknown]);
  const found = await refusal(rawCall(api.address, "/berth.v1.Sandboxes/Create", bytes));
  expect(found.code).toBe("INVALID_ARGUMENT");
  expect(found.violations).toEqual([
    expect.objectContaining({ field: "#99", rule: "berth.v1.SandboxesCreateRequest has no field 99 that this berthd knows" }),
    expect.objectContaining({ field: "spec.containers[0].#99", rule: "berth.v1.Container has no field 99 that this berthd knows" }),
  ]);
  expect(api.sandboxes.calls).toEqual([]);
});

test("bytes that are no message are the caller's fault", async () => {
  await using api = await startServer();
  const found = await refusal(rawCall(api.address, "/berth.v1.Sandboxes/Create", Buffer.from([0x0a, 0xff])));
  expect(found).toMatchObject({ code: "INVALID_ARGUMENT", reason: "InvalidRequest" });
  const notUtf8 = await refusal(rawCall(api.address, "/berth.v1.Sandboxes/Create", Buffer.from([0x0a, 0x01, 0xff])));
  expect(notUtf8).toMatchObject({ code: "INVALID_ARGUMENT" });
});

test("an error keeps reason, stage, container, log tail and whether to try again", async () => {
  await using api = await startServer();
  api.sandboxes.fault = new BerthError("RuntimeTimeout", "runsc create did not end", {
    stage: "pause-create",
    container: "pause",
    logTail: "line 1\nline 2",
  });
  const found = await refusal(api.client.create(goodRequest()));
  expect(found).toEqual({
    code: "DEADLINE_EXCEEDED",
    message: "runsc create did not end",
    reason: "RuntimeTimeout",
    stage: "pause-create",
    container: "pause",
    retryable: true,
    logTail: "line 1\nline 2",
    violations: [],
    oldestCursor: "",
  });
});

test("standard clients find the violations as google.rpc.BadRequest", async () => {
  await using api = await startServer();
  const error = (await api.client.list({ pageSize: -1 }).catch((thrown: unknown) => thrown)) as ServiceError;
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = fromBinary(StatusSchema, bytes as Buffer);
  expect(details.code).toBe(status.INVALID_ARGUMENT);
  const badRequest = details.details.map((detail) => anyUnpack(detail, BadRequestSchema)).find((found) => found !== undefined);
  expect(badRequest?.fieldViolations).toEqual([
    expect.objectContaining({ field: "pageSize", description: "is out of range (found -1; allowed: 1 to 1000, or 0 for 100)" }),
  ]);
});

test("a refusal with thousands of violations still fits into trailers, and says how many it leaves out", async () => {
  await using api = await startServer();
  const violation = { field: "spec.x".repeat(50), rule: "is wrong", value: "é".repeat(100), allowed: "something else" };
  api.sandboxes.fault = invalidRequest(Array.from({ length: 5000 }, () => violation));
  const found = await refusal(api.client.list({}));
  expect(found.code).toBe("INVALID_ARGUMENT");
  expect(found.violations.length).toBeGreaterThan(5);
  expect(found.violations.at(-1)?.rule).toBe(`and ${5001 - found.violations.length} more that do not fit into an answer`);
  api.sandboxes.fault = new BerthError("RuntimeFailed", "é".repeat(50_000), { logTail: "x\uD800".repeat(50_000) });
  expect(await refusal(api.client.list({}))).toMatchObject({ code: "INTERNAL", reason: "RuntimeFailed" });
});

test("what nobody foresaw is logged with its stack and not told to the caller", async () => {
  await using api = await startServer();
  api.sandboxes.fault = new Error("the secret is 42");
  const found = await refusal(api.client.list({}));
  expect(found).toMatchObject({ code: "INTERNAL", reason: "Internal" });
  expect(JSON.stringify(found)).not.toContain("secret");
  expect(api.logged.join("")).toContain("the secret is 42");
  expect(api.logged.join("")).toContain("sandboxes-service.test.ts:");
});

test("a client that hangs up cancels nothing", async () => {
  await using api = await startServer();
  const hold = Promise.withResolvers<void>();
  api.sandboxes.hold = hold.promise;
  const bytes = toBinary(SandboxesCreateRequestSchema, create(SandboxesCreateRequestSchema, goodRequest()));
  const found = await refusal(rawCall(api.address, "/berth.v1.Sandboxes/Create", Buffer.from(bytes), 100));
  expect(found.code).toBe("DEADLINE_EXCEEDED");
  expect(api.sandboxes.records.size).toBe(0);
  hold.resolve();
  await expect.poll(() => api.sandboxes.calls.at(-1)?.verb).toBe("created");
  expect((await api.client.list({})).sandboxes).toHaveLength(1);
});

test("logs come byte for byte, however slow the reader and however long the line", async () => {
  await using api = await startServer();
  await api.client.create(goodRequest());
  const [record] = api.sandboxes.records.values();
  const batches = 200;
  let produced = 0;
  const bytesOf = (index: number) => Buffer.alloc(16 * 1024, index);
  api.sandboxes.logRecords = async function* () {
    for (; produced < batches; produced += 1) yield [entry(bytesOf(produced), produced % 2 === 0 ? "stdout" : "stderr", false)];
    yield [entry(Buffer.alloc(200_000, 0xff), "stdout", true), entry(Buffer.alloc(0), "stderr", false)];
  };
  const received: { stream: LogStream; data: Buffer; partial: boolean; nanos: number | undefined }[] = [];
  for await (const { entries } of api.client.logs({ id: record?.id ?? "" })) {
    if (received.length === 0) {
      // A reader that does not read must stop the sender long before the end.
      await sleep(300);
      expect(produced).toBeLessThan(batches);
    }
    expect(entries.reduce((sum, { data }) => sum + data.length, 0)).toBeLessThanOrEqual(64 * 1024);
    received.push(...entries.map(({ stream, data, partial, time }) => ({ stream, data: Buffer.from(data), partial, nanos: time?.nanos })));
  }
  for (let index = 0; index < batches; index += 1) {
    expect(received[index]?.data.equals(bytesOf(index))).toBe(true);
    expect(received[index]?.stream).toBe(index % 2 === 0 ? LogStream.STDOUT : LogStream.STDERR);
    expect(received[index]?.nanos).toBe(123_456_789);
  }
  const long = received.slice(batches, -1);
  expect(Buffer.concat(long.map(({ data }) => data)).equals(Buffer.alloc(200_000, 0xff))).toBe(true);
  expect(long.every(({ partial }) => partial)).toBe(true);
  expect(received.at(-1)).toMatchObject({ stream: LogStream.STDERR, partial: false });
});

test("a reader of logs that hangs up ends the reading", async () => {
  await using api = await startServer();
  await api.client.create(goodRequest());
  const [record] = api.sandboxes.records.values();
  let ended = false;
  api.sandboxes.logRecords = async function* () {
    try {
      for (;;) yield [entry(Buffer.alloc(60_000), "stdout", false)];
    } finally {
      ended = true;
    }
  };
  for await (const _ of api.client.logs({ id: record?.id ?? "" })) break;
  await expect.poll(() => ended).toBe(true);
  await expect.poll(() => api.answered.at(-1)).toBe("berth.v1.Sandboxes/Logs CANCELLED");
});

test("a fault in the middle of the logs reaches the reader after what was sent", async () => {
  await using api = await startServer();
  await api.client.create(goodRequest());
  const [record] = api.sandboxes.records.values();
  api.sandboxes.logRecords = async function* () {
    yield [entry(Buffer.from("a"), "stdout", false)];
    throw new BerthError("ContainerNotFound", "it went away");
  };
  const received: string[] = [];
  const read = async () => {
    for await (const { entries } of api.client.logs({ id: record?.id ?? "" }))
      received.push(...entries.map(({ data }) => Buffer.from(data).toString()));
  };
  expect(await refusal(read())).toMatchObject({ code: "NOT_FOUND", reason: "ContainerNotFound" });
  expect(received).toEqual(["a"]);
});

test("render answers bundles and warnings; the node answers its inventory", async () => {
  await using api = await startServer();
  const rendered = await api.client.render(goodRequest());
  expect(rendered.bundles).toEqual([expect.objectContaining({ container: "pause", configJson: "{}" })]);
  expect(rendered.warnings).toEqual(["look out"]);
  const written = await api.client.getBundles({ target: { case: "name", value: { name: "web" } } });
  expect(written).toMatchObject({ bundles: [{ container: "pause", provenance: [{ kind: OriginKind.REQUEST }] }], warnings: ["look out"] });
  expect(api.sandboxes.calls.at(-1)).toEqual({ verb: "bundles", argument: { namespace: "default", name: "web" } });
  const info = await api.node.info({});
  expect(info).toMatchObject({ hostname: "node-1", memoryBytes: 8_589_934_592n, cgroupLayout: "v2" });
  expect(info.runtimeClasses[0]).toMatchObject({
    name: "runsc",
    aliases: ["gvisor"],
    ready: true,
    binaryDigest: `sha256:${"a".repeat(64)}`,
  });
});

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

function entry(data: Buffer, stream: LogRecord["stream"], partial: boolean): LogRecord {
  return { time: "2026-11-21T10:00:00.123456789+01:00", stream, partial, data };
}

/** Sends bytes as they are. */
async function rawCall(address: string, path: string, bytes: Buffer, deadlineMs = 5000): Promise<Buffer> {
  const client = new Client(address.replace("unix://", "unix:"), credentials.createInsecure());
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const same = (value: Buffer) => value;
  client.makeUnaryRequest(path, same, same, bytes, { deadline: Date.now() + deadlineMs }, (error, answer) =>
    error ? reject(error) : resolve(answer ?? Buffer.alloc(0)),
  );
  return promise.finally(() => client.close());
}

test("what a create waits for reaches the heart, and a value of another version is refused", async () => {
  await using api = await startServer();
  const waits = [WaitUntil.UNSPECIFIED, WaitUntil.ACCEPTED, WaitUntil.CREATED, WaitUntil.RUNNING];
  for (const waitUntil of waits) await api.client.create({ ...goodRequest(), waitUntil });
  const creates = api.sandboxes.calls.filter(({ verb }) => verb === "create");
  expect(creates.map(({ argument }) => (argument as { waitUntil: string }).waitUntil)).toEqual([
    "running",
    "accepted",
    "created",
    "running",
  ]);
  const found = await refusal(api.client.create({ ...goodRequest(), waitUntil: 9 as WaitUntil }));
  expect(found.violations).toMatchObject([{ field: "waitUntil", value: "9" }]);
});

test("start, pause and resume call the heart with the id and answer the sandbox; what is no id, or a long request id, is refused", async () => {
  await using api = await startServer();
  const { sandbox } = await api.client.create(goodRequest());
  const id = sandbox?.metadata?.id ?? "";
  const states = [
    (await api.client.pause({ id })).sandbox?.status?.state,
    (await api.client.resume({ id })).sandbox?.status?.state,
    (await api.client.start({ id, requestId: "again" })).sandbox?.status?.state,
  ];
  expect(states).toEqual([SandboxState.PAUSED, SandboxState.RUNNING, SandboxState.RUNNING]);
  const called = () => api.sandboxes.calls.filter(({ verb }) => ["start", "pause", "resume"].includes(verb));
  expect(called()).toEqual([
    { verb: "pause", argument: { id } },
    { verb: "resume", argument: { id } },
    { verb: "start", argument: { id, requestId: "again" } },
  ]);
  const refused = [
    api.client.pause({ id: "x" }),
    api.client.resume({ id: "" }),
    api.client.start({ id: id.slice(1), requestId: "x".repeat(129) }),
  ];
  expect(await Promise.all(refused.map(async (call) => fields(await refusal(call))))).toEqual([["id"], ["id"], ["id", "requestId"]]);
  expect(called()).toHaveLength(3);
});

test("the operation that runs is shown with its step", async () => {
  await using api = await startServer();
  const { sandbox } = await api.client.create(goodRequest());
  const record = api.sandboxes.get({ id: sandbox?.metadata?.id ?? "" });
  record.operation = { id: "o", verb: "stop", step: "grace", args: {}, requestId: "", startedAt: "2026-11-21T10:00:00Z" };
  const shown = await api.client.get({ target: { case: "id", value: record.id } });
  expect(shown.sandbox?.status?.operation).toMatchObject({ verb: "stop", step: "grace", startedAt: { seconds: 1795255200n } });
});

test("a lease is renewed to a time and from a version that are there", async () => {
  await using api = await startServer();
  const { sandbox: created } = await api.client.create(goodRequest());
  const record = { id: created?.metadata?.id ?? "" };
  const expiresAt = { seconds: 4_000_000_000n, nanos: 0 };
  const { sandbox } = await api.client.renewLease({ id: record.id, expiresAt, resourceVersion: "7" });
  const call = api.sandboxes.calls.find(({ verb }) => verb === "renewLease");
  expect(call?.argument).toEqual({ id: record.id, expiresAt: "2096-10-02T07:06:40.000Z", resourceVersion: "7" });
  expect(sandbox?.status?.expiresAt).toMatchObject(expiresAt);
  for (const [request, field] of [
    [{ id: record.id, resourceVersion: "7" }, "expiresAt"],
    [{ id: record.id, resourceVersion: "7", expiresAt: { seconds: 10n ** 15n, nanos: 0 } }, "expiresAt"],
    [{ id: record.id, expiresAt }, "resourceVersion"],
  ] as const) {
    expect(fields(await refusal(api.client.renewLease(request)))).toEqual([field]);
  }
});
