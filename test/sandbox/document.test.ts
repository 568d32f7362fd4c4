import * as fc from "fast-check";
import { expect, test } from "vitest";
import { stringify } from "yaml";
import { BerthError, type Violation } from "../../src/errors.ts";
import { readSandboxDocument, type SandboxDocument } from "../../src/sandbox/document.ts";
import { runs } from "../support/property.ts";

function refused(text: string, namespace?: string): readonly Violation[] {
  try {
    readSandboxDocument(text, "a.yaml", { namespace });
  } catch (error) {
    if (error instanceof BerthError && error.reason === "InvalidRequest") return error.detail.violations ?? [];
    throw error;
  }
  throw new Error("it was not refused");
}

const read = (document: unknown): SandboxDocument => readSandboxDocument(stringify(document), "a.yaml");
/** Field and rule of each violation. */
const found = (violations: readonly Violation[]) => violations.map(({ field, rule }) => `${field} ${rule}`);

const SPEC = { containers: [{ name: "web", image: "oci:/srv/busybox" }] };
const sandbox = (rest: object = {}) => ({ apiVersion: "berth/v1", kind: "Sandbox", metadata: { name: "web" }, spec: SPEC, ...rest });
const pod = (spec: object = {}, container: object = {}, metadata: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", ...metadata },
  spec: { restartPolicy: "Never", ...spec, containers: [{ name: "web", image: "oci:/srv/busybox", ...container }] },
});

test("a Sandbox and a Pod that say the same are read as the same request", () => {
  const container = {
    command: ["sh"],
    args: ["-c", "true"],
    env: [{ name: "A", value: "b" }, { name: "EMPTY" }],
    workingDir: "/tmp",
    securityContext: {
      runAsUser: 1000,
      runAsGroup: 0,
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      seccompProfile: { type: "Localhost", localhostProfile: "team/web.json" },
      capabilities: { add: ["NET_ADMIN"], drop: ["all"] },
    },
    volumeMounts: [{ name: "data", mountPath: "/data", readOnly: true, recursiveReadOnly: "Enabled", mountPropagation: "None" }],
  };
  const common = {
    runtimeClassName: "gvisor",
    hostname: "h",
    hostAliases: [{ ip: "fd00::5", hostnames: ["db", "db.example"] }],
    volumes: [
      { name: "data", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "disk", emptyDir: {} },
      { name: "host", hostPath: { path: "/srv/data/", type: "Directory" } },
      { name: "model", image: { reference: "oci:/srv/model:1", pullPolicy: "IfNotPresent" } },
    ],
    securityContext: {
      runAsUser: 7,
      runAsGroup: 8,
      runAsNonRoot: false,
      supplementalGroups: [9],
      supplementalGroupsPolicy: "Strict",
      sysctls: [{ name: "kernel.shm_rmid_forced", value: "1" }],
      seccompProfile: { type: "RuntimeDefault" },
    },
  };
  const metadata = { namespace: "team-a", labels: { app: "web" } };
  const asPod = read(pod(common, container, metadata));
  const asSandbox = read(
    sandbox({
      metadata: { name: "web", ...metadata },
      spec: { ...common, containers: [{ ...SPEC.containers[0], ...container }] },
    }),
  );
  expect(asPod).toEqual(asSandbox);
  expect(asPod.request).toEqual({
    metadata: { namespace: "team-a", name: "web", labels: { app: "web" }, annotations: {} },
    spec: {
      ...common,
      volumes: [
        { name: "data", emptyDir: { medium: "Memory", sizeLimit: 1_048_576 } },
        { name: "disk", emptyDir: { medium: "" } },
        { name: "host", hostPath: { path: "/srv/data", type: "Directory" } },
        { name: "model", image: { reference: "oci:/srv/model:1", pullPolicy: "IfNotPresent" } },
      ],
      requireEnforcement: false,
      restartPolicy: "Never",
      containers: [
        {
          name: "web",
          image: "oci:/srv/busybox",
          command: ["sh"],
          args: ["-c", "true"],
          env: [
            { name: "A", value: "b" },
            { name: "EMPTY", value: "" },
          ],
          workingDir: "/tmp",
          securityContext: { ...container.securityContext, capabilities: { add: ["CAP_NET_ADMIN"], drop: ["ALL"], ambient: "never" } },
          volumeMounts: container.volumeMounts,
          rlimits: [],
          devices: [],
        },
      ],
    },
  });
});

test("JSON is read as YAML is, indented with tabs or not", () => {
  for (const indent of [undefined, "  ", "\t"]) {
    expect(readSandboxDocument(JSON.stringify(sandbox(), undefined, indent), "a.json")).toEqual(read(sandbox()));
  }
});

test("the namespace is that of the file, else the one that was given, else default", () => {
  const namespaceOf = (document: object, namespace?: string) =>
    readSandboxDocument(stringify(document), "a.yaml", { namespace }).request.metadata.namespace;
  expect(namespaceOf(sandbox())).toBe("default");
  expect(namespaceOf(sandbox(), "b")).toBe("b");
  expect(namespaceOf(pod({}, {}, { namespace: "a" }), "b")).toBe("a");
  expect(namespaceOf(pod(), "b")).toBe("b");
});

test("a Pod that says nothing about restarts is warned of berth's way; Never is not", () => {
  expect(read(pod()).warnings).toEqual([]);
  expect(read(pod({ restartPolicy: null })).warnings).toEqual([
    "spec.restartPolicy is not set: Kubernetes would restart containers (Always), berth runs them once (Never)",
  ]);
  for (const restartPolicy of ["Never", "OnFailure", "Always"])
    expect(read(pod({ restartPolicy }))).toMatchObject({ request: { spec: { restartPolicy } }, warnings: [] });
  expect(found(refused(stringify(pod({ restartPolicy: "Sometimes" }))))).toEqual(["spec.restartPolicy is not a restart policy"]);
});

const words = (text: string): string[] => text.trim().split(/\s+/);

/** Every field of Kubernetes' Pod that berth does not implement, with a value that a manifest could have. */
const LATER: readonly (readonly [path: string, document: object])[] = [
  ["status", { ...pod(), status: { phase: "Running" } }],
  ...Object.entries({
    creationTimestamp: "2026-01-01T00:00:00Z",
    deletionGracePeriodSeconds: 30,
    deletionTimestamp: "2026-01-01T00:00:00Z",
    finalizers: ["x"],
    generateName: "web-",
    generation: 1,
    managedFields: [{}],
    ownerReferences: [{}],
    resourceVersion: "1",
    selfLink: "/x",
    uid: "x",
  }).map(([key, value]) => [`metadata.${key}`, pod({}, {}, { [key]: value })] as const),
  ...Object.entries({
    affinity: {},
    automountServiceAccountToken: false,
    dnsConfig: { nameservers: ["1.1.1.1"] },
    dnsPolicy: "ClusterFirst",
    enableServiceLinks: true,
    ephemeralContainers: [],
    hostIPC: true,
    hostNetwork: false,
    hostPID: true,
    hostUsers: false,
    hostnameOverride: "x",
    imagePullSecrets: [{ name: "x" }],
    initContainers: [{ name: "x" }],
    nodeName: "x",
    nodeSelector: { a: "b" },
    os: { name: "linux" },
    overhead: { cpu: "1" },
    preemptionPolicy: "Never",
    priority: 1,
    priorityClassName: "x",
    readinessGates: [],
    resourceClaims: [],
    resources: {},
    schedulerName: "x",
    schedulingGates: [],
    serviceAccount: "x",
    serviceAccountName: "x",
    setHostnameAsFQDN: true,
    shareProcessNamespace: true,
    subdomain: "x",
    tolerations: [],
    topologySpreadConstraints: [],
    workloadRef: { name: "x" },
  }).map(([key, value]) => [`spec.${key}`, pod({ [key]: value })] as const),
  ...Object.entries({
    envFrom: [{ configMapRef: { name: "x" } }],
    imagePullPolicy: "Always",
    lifecycle: { preStop: {} },
    livenessProbe: { exec: { command: ["x"] } },
    ports: [{ containerPort: 80 }],
    readinessProbe: {},
    resizePolicy: [],
    resources: { limits: { cpu: "1" } },
    restartPolicy: "Always",
    restartPolicyRules: [],
    startupProbe: {},
    stdin: true,
    stdinOnce: true,
    terminationMessagePath: "/x",
    terminationMessagePolicy: "File",
    tty: true,
    volumeDevices: [],
  }).map(([key, value]) => [`spec.containers[0].${key}`, pod({}, { [key]: value })] as const),
  ["spec.containers[0].env[1].valueFrom", pod({}, { env: [{ name: "A" }, { name: "B", valueFrom: { fieldRef: { fieldPath: "x" } } }] })],
  ...["subPath", "subPathExpr"].map((key) => {
    const volumeMounts = [{ name: "x", mountPath: "/x", [key]: "x" }];
    const document = pod({ volumes: [{ name: "x", emptyDir: {} }] }, { volumeMounts });
    return [`spec.containers[0].volumeMounts[0].${key}`, document] as const;
  }),
  ...words(`
    awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI ephemeral fc flexVolume flocker
    gcePersistentDisk gitRepo glusterfs iscsi nfs persistentVolumeClaim photonPersistentDisk portworxVolume
    projected quobyte rbd scaleIO secret storageos vsphereVolume
  `).map((kind) => [`spec.volumes[0].${kind}`, pod({ volumes: [{ name: "x", emptyDir: {}, [kind]: {} }] })] as const),
  ...Object.entries({
    seLinuxOptions: { level: "x" },
    windowsOptions: {},
  }).map(([key, value]) => [`spec.containers[0].securityContext.${key}`, pod({}, { securityContext: { [key]: value } })] as const),
  ...Object.entries({
    fsGroup: 5,
    fsGroupChangePolicy: "Always",
    seLinuxChangePolicy: "Recursive",
    seLinuxOptions: { level: "x" },
    windowsOptions: {},
  }).map(([key, value]) => [`spec.securityContext.${key}`, pod({ securityContext: { [key]: value } })] as const),
];

test.for(LATER)("%s of a Pod is refused by name, as not implemented yet", ([path, document]) => {
  const violations = refused(stringify(document));
  expect(found(violations)).toEqual([`${path} is not implemented by berth yet`]);
  expect(violations[0]?.allowed).toBe("leave it out");
});

test("fields of berth that no Pod has are refused in a Pod, at either level", () => {
  const document = pod(
    { requireEnforcement: true, securityContext: { umask: 1 } },
    { securityContext: { umask: 1, supplementalGroups: [] } },
  );
  expect(found(refused(stringify(document)))).toEqual(
    [
      ...["spec.requireEnforcement", "spec.securityContext.umask"],
      ...["spec.containers[0].securityContext.umask", "spec.containers[0].securityContext.supplementalGroups"],
    ].map((path) => `${path} is not a field of a Pod`),
  );
});

test("a umask is octal as YAML 1.2 writes it; a leading zero, which readers take for different numbers, is refused", () => {
  const withUmask = (umask: string) => `${stringify(sandbox({ spec: undefined }))}
spec: {containers: [{name: web, image: "oci:/srv/busybox", securityContext: {umask: ${umask}}}]}`;
  const umaskOf = (umask: string) => readSandboxDocument(withUmask(umask), "a.yaml").request.spec.containers[0]?.securityContext.umask;
  expect([umaskOf("0o27"), umaskOf("0x17"), umaskOf("23"), umaskOf("0")]).toEqual([0o27, 0o27, 0o27, 0]);
  expect(refused(withUmask("0027")).map(({ rule }) => rule)).toEqual([
    "is a number with a leading zero: octal for some readers, decimal for others",
  ]);
  expect(refused(withUmask('"0o27"')).map(({ field }) => field)).toEqual(["spec.containers[0].securityContext.umask"]);
});

test("a field that no Pod has is refused by name and path", () => {
  const document = pod(
    { Containers: [], hostnetwork: true },
    { img: "x", securityContext: { capabilities: { ambient: "auto", Add: [] } }, env: [{ name: "A", val: 1 }] },
    { lables: {} },
  );
  expect(found(refused(stringify({ ...document, extra: 1 })))).toEqual(
    [
      ...["metadata.lables", "spec.Containers", "spec.hostnetwork", "spec.containers[0].img"],
      ...["spec.containers[0].securityContext.capabilities.ambient", "spec.containers[0].securityContext.capabilities.Add"],
      ...["spec.containers[0].env[0].val", "extra"],
    ].map((path) => `${path} is not a field of a Pod`),
  );
});

test("null is the same as not there, as Kubernetes has it", () => {
  const document = pod(
    { volumes: null, runtimeClassName: null },
    { resources: null, env: null },
    { creationTimestamp: null, labels: null },
  );
  expect(read(document).request).toEqual(read(pod()).request);
  expect(found(refused(stringify(pod({ nonsense: null }))))).toEqual(["spec.nonsense is not a field of a Pod"]);
});

test("faults of the structure and of the values are told together, with paths as in the file", () => {
  const document = pod(
    { hostPID: true },
    { name: "a/b", image: "busybox", securityContext: { runAsUser: "1000", runAsGroup: 1.5, seLinuxOptions: {} } },
  );
  expect(refused(stringify(document)).map(({ field }) => field)).toEqual([
    "spec.hostPID",
    "spec.containers[0].securityContext.seLinuxOptions",
    "spec.containers[0].name",
    "spec.containers[0].image",
    "spec.containers[0].securityContext.runAsUser",
    "spec.containers[0].securityContext.runAsGroup",
  ]);
});

test("parts of a wrong type are refused with their path", () => {
  for (const [spec, path] of [
    [{ ...pod(), spec: 1 }, "spec"],
    [{ ...pod(), metadata: "x" }, "metadata"],
    [{ ...pod(), spec: { restartPolicy: "Never", containers: { name: "x" } } }, "spec.containers"],
    [{ ...pod(), spec: { restartPolicy: "Never", containers: ["x"] } }, "spec.containers[0]"],
    [{ ...pod(), spec: { restartPolicy: "Never" } }, "spec.containers"],
    [{ ...pod(), spec: null }, "spec"],
    [pod({}, { env: { A: "b" } }), "spec.containers[0].env"],
    [pod({}, { env: ["A=b"] }), "spec.containers[0].env[0]"],
    [pod({}, { env: [{ name: "A", value: 1 }] }), "spec.containers[0].env[0].value"],
    [pod({}, { securityContext: { capabilities: [] } }), "spec.containers[0].securityContext.capabilities"],
  ] as const) {
    expect(refused(stringify(spec)).map(({ field }) => field)).toEqual([path]);
  }
});

test("the fields of a Sandbox that berth does not know are refused", () => {
  const document = sandbox({ status: {}, spec: { ...SPEC, hostNetwork: false } });
  expect(
    refused(stringify(document))
      .map(({ field }) => field)
      .toSorted(),
  ).toEqual(["spec.hostNetwork", "status"]);
});

test.for([
  ["kind: Deployment\napiVersion: apps/v1", "kind is not a kind that berth reads"],
  ["apiVersion: v1", "kind is required"],
  ["kind: Pod", "apiVersion is required"],
  ["kind: Pod\napiVersion: berth/v1", "apiVersion is not the version of a Pod that berth reads"],
  ["kind: Sandbox\napiVersion: v1", "apiVersion is not the version of a Sandbox that berth reads"],
  ["- kind: Pod", "a.yaml is not an object"],
  ["text", "a.yaml is not an object"],
  ["", "a.yaml is empty"],
  ["# nothing", "a.yaml is empty"],
  ["null", "a.yaml is not an object"],
  ["kind: Pod\nkind: Pod", "a.yaml:2:1 Map keys must be unique"],
  ['{"kind":"Pod","kind":"Pod"}', "a.yaml:1:15 Map keys must be unique"],
  ["kind: Pod\n---\nkind: Pod", "a.yaml:2:1 begins a second document"],
  ["%YAML 1.1\n---\nkind: Pod", "a.yaml:1:1 asks for another YAML"],
  ["kind: !!binary aGk=", "a.yaml:1:16 has the tag tag:yaml.org,2002:binary"],
  [
    "kind: Pod\nspec: {containers: [{securityContext: {runAsUser: 0100}}]}",
    "a.yaml:2:51 is a number with a leading zero: octal for some readers, decimal for others",
  ],
  ["__proto__: {kind: Pod}", "a.yaml:1:1 is not a key that any field has"],
  ["kind: Pod\nspec: {'__proto__': {}}", "a.yaml:2:8 is not a key that any field has"],
] as const)("%j is refused", ([text, expected]) => {
  expect(found(refused(text))).toEqual([expected]);
});

test("syntax errors stand at file, line and column, with the line", () => {
  expect(refused("kind: Pod\nspec: {containers: [}")).toContainEqual(
    expect.objectContaining({ field: expect.stringMatching(/^a\.yaml:2:\d+$/), value: '"spec: {containers: [}"' }),
  );
  expect(refused("kind: !foo Pod")).toHaveLength(2);
});

test("bombs of aliases and of depth, and endless files, are refused and not unfolded", { timeout: 120_000 }, () => {
  const levels = Array.from({ length: 12 }, (_, level) => `l${level + 1}: &l${level + 1} [${`*l${level},`.repeat(10)}]`);
  expect(found(refused(["l0: &l0 [x,x]", ...levels].join("\n")))).toEqual(["a.yaml cannot be read"]);
  expect(refused("[".repeat(100_000))[0]?.field).toMatch(/^a\.yaml/);
  expect(refused(`{"a":`.repeat(100_000))[0]?.field).toMatch(/^a\.yaml/);
  expect(found(refused("x".repeat(2 ** 20 + 1)))).toEqual(["a.yaml is too long"]);
});

test("whatever text stands in the file, it is read or refused with violations", () => {
  const near = fc.oneof(
    fc.json(),
    fc.string({ unit: "binary", maxLength: 200 }),
    fc.jsonValue().map((value) => stringify(value)),
    fc
      .record({ metadata: fc.jsonValue(), spec: fc.jsonValue(), extra: fc.jsonValue() }, { requiredKeys: [] })
      .map((rest) => JSON.stringify(sandbox(rest))),
    fc.jsonValue().map((value) => JSON.stringify(pod({ containers: value }, { securityContext: value, env: value }, { labels: value }))),
    fc
      .tuple(fc.jsonValue(), fc.string())
      .map(([value, key]) => JSON.stringify({ ...pod(), spec: { containers: [value, { [key]: value }], [key]: value } })),
  );
  fc.assert(
    fc.property(near, (text) => {
      try {
        expect(readSandboxDocument(text, "a.yaml").request.metadata.name).toBeTypeOf("string");
      } catch (error) {
        expect(error).toBeInstanceOf(BerthError);
        expect((error as BerthError).detail.violations?.length).toBeGreaterThan(0);
      }
    }),
    runs(3000),
  );
});
