import { create, fromBinary, fromJson, type JsonValue, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { serviceDefinition, type Decoded } from "../../src/api/adapter.ts";
import { readSandboxRequest, sandboxMessages } from "../../src/api/wire.ts";
import { BerthError } from "../../src/errors.ts";
import { SandboxSpecSchema, ObjectMetaSchema } from "../../src/gen/berth/v1/sandbox_pb.js";
import { Sandboxes, SandboxesCreateRequestSchema } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { runs } from "../support/property.ts";

/** Words that come near to what is right, so that random documents get deep. */
const word = fc.oneof(
  fc.constantFrom(
    "web",
    "pause",
    "oci:/x",
    "oci:/x:y",
    "NET_ADMIN",
    "ALL",
    "cap_kill",
    "CAP_CAP_KILL",
    "/tmp",
    "/proc/self",
    "",
    "a/b",
    "..",
    "\0",
  ),
  fc.string({ unit: "binary" }),
);
const words = fc.array(word, { maxLength: 3 });
const integer = fc.oneof(
  fc.constantFrom(0n, -1n, 1000n, 2_147_483_647n, 2_147_483_648n, 4_294_967_295n),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
);
const seccompProfile = fc.record({ type: fc.integer({ min: -1, max: 4 }), localhostProfile: word }, { requiredKeys: [] });
const uint64 = fc.oneof(fc.constantFrom(0n, 1024n, 2n ** 53n, 2n ** 64n - 1n), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));
const rlimit = fc.record(
  { type: fc.oneof(fc.constantFrom("RLIMIT_NOFILE", "CORE"), word), soft: uint64, hard: uint64 },
  { requiredKeys: [] },
);
const size = fc.oneof(word, fc.constantFrom("1Mi", "0", "5"));
const volumeSource = fc.oneof(
  fc.record({
    case: fc.constant("emptyDir"),
    value: fc.record({ medium: fc.integer({ min: -1, max: 2 }), sizeLimit: size }, { requiredKeys: [] }),
  }),
  fc.record({
    case: fc.constant("tmpfs"),
    value: fc.record({ sizeLimit: size, mode: fc.integer({ min: 0, max: 2000 }) }, { requiredKeys: [] }),
  }),
  fc.record({
    case: fc.constant("image"),
    value: fc.record({ reference: word, pullPolicy: fc.oneof(fc.constant("Never"), word) }, { requiredKeys: [] }),
  }),
  fc.record({
    case: fc.constant("hostPath"),
    value: fc.record({ path: word, type: fc.oneof(word, fc.constant("File")) }, { requiredKeys: [] }),
  }),
);
const container = fc.record(
  {
    rlimits: fc.array(rlimit, { maxLength: 2 }),
    devices: fc.array(
      fc.record(
        { path: fc.oneof(fc.constant("/dev/a"), word), containerPath: word, permissions: fc.constantFrom("", "r", "x") },
        { requiredKeys: [] },
      ),
      { maxLength: 2 },
    ),
    name: word,
    image: word,
    command: words,
    args: words,
    env: fc.array(fc.record({ name: word, value: word }), { maxLength: 2 }),
    workingDir: word,
    volumeMounts: fc.array(
      fc.record(
        {
          name: word,
          mountPath: word,
          readOnly: fc.boolean(),
          recursiveReadOnly: fc.integer({ min: -1, max: 4 }),
          mountPropagation: fc.integer({ min: -1, max: 4 }),
        },
        { requiredKeys: [] },
      ),
      { maxLength: 2 },
    ),
    securityContext: fc.record(
      {
        runAsUser: integer,
        runAsGroup: integer,
        runAsNonRoot: fc.boolean(),
        allowPrivilegeEscalation: fc.boolean(),
        readOnlyRootFilesystem: fc.boolean(),
        umask: fc.oneof(fc.integer({ min: 0, max: 0o777 }), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
        seccompProfile,
        appArmorProfile: seccompProfile,
        procMount: fc.integer({ min: -1, max: 3 }),
        privileged: fc.boolean(),
        capabilities: fc.record(
          { add: words, drop: words, ambient: words, ambientMode: fc.integer({ min: -2, max: 9 }) },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
);
const request = fc.record(
  {
    metadata: fc.record(
      {
        namespace: word,
        name: word,
        id: word,
        labels: fc.dictionary(word, word, { maxKeys: 2 }),
        annotations: fc.dictionary(word, word, { maxKeys: 2 }),
      },
      { requiredKeys: [] },
    ),
    spec: fc.record(
      {
        runtimeClassName: word,
        containers: fc.array(container, { maxLength: 3 }),
        hostname: word,
        volumes: fc.array(fc.record({ name: word, source: volumeSource }, { requiredKeys: [] }), { maxLength: 2 }),
        hostAliases: fc.array(
          fc.record({ ip: fc.oneof(fc.constantFrom("10.0.0.5", "::1"), word), hostnames: words }, { requiredKeys: [] }),
          { maxLength: 2 },
        ),
        requireEnforcement: fc.boolean(),
        restartPolicy: fc.integer({ min: -1, max: 5 }),
        activeDeadlineSeconds: integer,
        ttlSecondsAfterFinished: integer,
        terminationGracePeriodSeconds: fc.oneof(fc.constantFrom(0n, 3600n, 3601n), integer),
        expiresAt: fc.record({
          seconds: fc.oneof(fc.constantFrom(0n, 4_000_000_000n), integer),
          nanos: fc.constantFrom(0, 5, 1_000_000, 999_999_999),
        }),
        securityContext: fc.record(
          {
            seccompProfile,
            appArmorProfile: seccompProfile,
            sysctls: fc.array(
              fc.record(
                { name: fc.oneof(fc.constantFrom("kernel.shm_rmid_forced", "kernel.panic", "net"), word), value: word },
                { requiredKeys: [] },
              ),
              { maxLength: 2 },
            ),
            runAsUser: integer,
            runAsGroup: integer,
            runAsNonRoot: fc.boolean(),
            supplementalGroups: fc.array(integer, { maxLength: 2 }),
            supplementalGroupsPolicy: fc.integer({ min: -1, max: 4 }),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: [] },
);

/** Nothing but a parsed request or a refusal that names fields comes out. */
function expectTyped(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    expect(error).toBeInstanceOf(BerthError);
    const { reason, detail } = error as BerthError;
    expect(reason).toBe("InvalidRequest");
    expect(detail.violations?.length).toBeGreaterThan(0);
    return undefined;
  }
}

test("random messages are parsed, or refused with violations", () => {
  fc.assert(
    fc.property(request, ({ metadata, spec }) => {
      const message = create(SandboxesCreateRequestSchema, {
        ...(metadata ? { metadata: create(ObjectMetaSchema, metadata) } : {}),
        ...(spec ? { spec: create(SandboxSpecSchema, spec as never) } : {}),
      });
      const parsed = expectTyped(() => readSandboxRequest(message));
      if (parsed === undefined) return;
      // What was parsed reads back as itself.
      const again = create(SandboxesCreateRequestSchema, sandboxMessages(parsed as never));
      expect(readSandboxRequest(again)).toEqual(parsed);
    }),
    runs(2000),
  );
});

test("random bytes are decoded or refused, and never throw where grpc-js would answer INTERNAL", () => {
  const definition = serviceDefinition(Sandboxes)["create"];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const decoded = definition?.requestDeserialize(Buffer.from(bytes)) as Decoded;
      if ("message" in decoded) expectTyped(() => readSandboxRequest(fromBinary(SandboxesCreateRequestSchema, bytes)));
      else expect(decoded.fault).toContain("berth.v1.SandboxesCreateRequest");
    }),
    runs(5000),
  );
});

test("random JSON that the protobuf mapping takes is parsed, or refused with violations", () => {
  let taken = 0;
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom("metadata", "spec", "requestId"), fc.jsonValue()), (json) => {
      let message: ReturnType<typeof fromJson<typeof SandboxesCreateRequestSchema>>;
      try {
        message = fromJson(SandboxesCreateRequestSchema, json as JsonValue, { ignoreUnknownFields: true });
      } catch {
        return;
      }
      taken += 1;
      expectTyped(() => readSandboxRequest(message));
    }),
    runs(2000),
  );
  expect(taken).toBeGreaterThan(0);
});

test("every field of the security context and of volumes keeps its value across the wire, false and 0 too", () => {
  const wholes = { runAsUser: 0, runAsGroup: 2_147_483_647 };
  for (const truth of [true, false]) {
    const request = parseSandboxRequest({
      metadata: { name: "web", annotations: truth ? { "a/b": "", c: "d" } : {} },
      spec: {
        containers: [
          {
            name: "web",
            image: "oci:/x",
            volumeMounts: [
              {
                name: "data",
                mountPath: "/data",
                readOnly: true,
                recursiveReadOnly: truth ? "Enabled" : "IfPossible",
              },
              { name: "own", mountPath: "/own", readOnly: truth, mountPropagation: truth ? "None" : "HostToContainer" },
              { name: "model", mountPath: "/model", ...(truth ? { readOnly: true } : {}) },
              { name: "host", mountPath: "/host", ...(truth ? { mountPropagation: "Bidirectional" } : {}) },
            ],
            rlimits: [
              { type: "RLIMIT_CORE", soft: 0, hard: truth ? "unlimited" : 0 },
              { type: "NOFILE", soft: 1024, hard: Number.MAX_SAFE_INTEGER },
            ],
            devices: truth ? [{ path: "/dev/fuse" }, { path: "/srv/a", containerPath: "/dev/b", permissions: "r" }] : [],
            securityContext: {
              ...wholes,
              runAsNonRoot: truth,
              allowPrivilegeEscalation: truth,
              readOnlyRootFilesystem: truth,
              umask: truth ? 511 : 0,
              appArmorProfile: { type: "Localhost", localhostProfile: "own" },
              procMount: truth ? "Default" : "Unmasked",
            },
          },
        ],
        hostname: truth ? "ship" : "",
        requireEnforcement: truth,
        hostAliases: truth ? [{ ip: "fd00::5", hostnames: ["db", "a.b"] }] : [],
        volumes: [
          { name: "data", emptyDir: truth ? { medium: "Memory", sizeLimit: 2 ** 53 - 1 } : {} },
          { name: "model", image: truth ? { reference: "oci:/m", pullPolicy: "Never" } : { reference: "oci:/m:t" } },
          { name: "own", tmpfs: truth ? { mode: 0 } : { sizeLimit: 1 } },
          { name: "host", hostPath: { path: "/srv", ...(truth ? { type: "Socket" } : {}) } },
        ],
        restartPolicy: truth ? "Always" : "OnFailure",
        activeDeadlineSeconds: truth ? 1 : 2_147_483_647,
        ttlSecondsAfterFinished: truth ? 0 : 2_147_483_647,
        terminationGracePeriodSeconds: truth ? 0 : 3600,
        expiresAt: truth ? "2026-11-21T10:00:00+01:00" : "9999-12-31T23:59:59.999Z",
        securityContext: {
          ...wholes,
          runAsNonRoot: truth,
          appArmorProfile: { type: truth ? "RuntimeDefault" : "Unconfined" },
          supplementalGroups: [7, 0, 7],
          supplementalGroupsPolicy: truth ? "Strict" : "Merge",
          sysctls: truth ? [{ name: "net.ipv4.tcp_rmem", value: "4096\t131072 6291456" }] : [],
        },
      },
    });
    const message = create(SandboxesCreateRequestSchema, sandboxMessages(request));
    expect(readSandboxRequest(fromBinary(SandboxesCreateRequestSchema, toBinary(SandboxesCreateRequestSchema, message)))).toEqual(request);
  }
});

test("a policy of groups that the API does not have, and ids beyond 2^53, are refused by their fields", () => {
  const securityContext = { supplementalGroupsPolicy: 9, supplementalGroups: [5n, 2n ** 62n], runAsUser: -(2n ** 62n) };
  const spec = create(SandboxSpecSchema, { containers: [{ name: "web", image: "oci:/x" }], securityContext });
  try {
    readSandboxRequest(create(SandboxesCreateRequestSchema, { metadata: create(ObjectMetaSchema, { name: "web" }), spec }));
    expect.unreachable();
  } catch (error) {
    expect((error as BerthError).detail.violations?.map(({ field, value }) => `${field} ${value}`)).toEqual([
      "spec.securityContext.runAsUser -4611686018427388000",
      "spec.securityContext.supplementalGroups[1] 4611686018427388000",
      "spec.securityContext.supplementalGroupsPolicy 9",
    ]);
  }
});

test("a limit beyond 2^53 that is not the one for none is refused", () => {
  const message = (hard: bigint) =>
    create(SandboxesCreateRequestSchema, {
      metadata: create(ObjectMetaSchema, { name: "web" }),
      spec: create(SandboxSpecSchema, { containers: [{ name: "web", image: "oci:/x", rlimits: [{ type: "CORE", hard }] }] }),
    });
  expect(readSandboxRequest(message(2n ** 64n - 1n)).spec.containers[0]?.rlimits).toEqual([
    { type: "RLIMIT_CORE", soft: 0, hard: "unlimited" },
  ]);
  for (const hard of [2n ** 53n, 2n ** 64n - 2n])
    expect(() => readSandboxRequest(message(hard))).toThrow(/rlimits\[0\]\.hard: is not a limit/);
});
