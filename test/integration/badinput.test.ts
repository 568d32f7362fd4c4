import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { busyboxImage, makeLayout } from "../../src/dev/test-image.ts";
import { LogStream } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { WIDE_POLICY, CLASSES, TestNode } from "./node.ts";
import {
  type ContainerInit,
  create,
  deleteAll,
  faultyRuntime,
  hasEnded,
  idOf,
  refusalFrom,
  sharedNode,
  shell,
  told,
  writeDocument,
} from "./life-support/support.ts";

const scripts = mkdtempSync("/tmp/berth-faulty-");
const faulty = CLASSES.map((entry) => ({ runtimeClass: entry.name, adapter: entry.adapter, runtime: faultyRuntime(scripts, entry) }));
const missing = { name: "missing", adapter: "runc", binary: join(scripts, "no-such-runtime") };
const failing = { name: "failing", adapter: "runc", binary: "/bin/false" };
const node = sharedNode({ runtimeClasses: [...faulty.map(({ runtime }) => runtime.runtimeClass), missing, failing] });

afterEach(() => {
  for (const { runtime } of faulty) runtime.mend();
});
afterAll(() => rmSync(scripts, { recursive: true, force: true }));

/** The next good request works. */
async function expectGood(runtimeClass: string, name = "app"): Promise<void> {
  const id = idOf(await create(node(), name, runtimeClass, [shell(node(), "app", "echo good")]));
  const ended = await node().until(id, hasEnded);
  expect(told(ended)).toEqual({ state: "COMPLETED", containers: { app: "EXITED 0" } });
  expect(await node().output(id, "app")).toBe("good\n");
  await deleteAll(node());
}

/** Every file under the node's folders, the journal's and logs' contents apart. */
function filesOf(on: TestNode): string[] {
  return [on.state, on.run].flatMap((dir) => readdirSync(dir, { recursive: true }).map((name) => `${dir}/${String(name)}`)).sort();
}

interface FaultyContainer {
  readonly name: string;
  readonly securityContext?: object;
  readonly [field: string]: unknown;
}

/** What stands in place of a good document, and the field that the refusal must name. A wire cannot carry all of it. */
interface Fault {
  readonly what: string;
  readonly name?: string;
  readonly containers?: readonly FaultyContainer[];
  readonly fields: readonly string[];
  /** The value cannot be put into a message. */
  readonly onlyFile?: true;
}

const good = { name: "app", image: "oci:/nowhere" };
const user = (runAsUser: unknown) => [{ ...good, securityContext: { runAsUser } }];
const add = (...names: string[]) => [{ ...good, securityContext: { capabilities: { add: names } } }];
const RUN_AS_USER = ["spec.containers[0].securityContext.runAsUser"];
const ADD = "spec.containers[0].securityContext.capabilities.add";

const FAULTS: readonly Fault[] = [
  { what: "an unknown capability", containers: add("NET_ADMIN", "FLY"), fields: [`${ADD}[1]`] },
  { what: "CAP_CAP_KILL", containers: add("CAP_CAP_KILL"), fields: [`${ADD}[0]`] },
  {
    what: "an unknown capability to drop",
    containers: [{ ...good, securityContext: { capabilities: { drop: ["FLY"] } } }],
    fields: [ADD.replace("add", "drop[0]")],
  },
  { what: "user -1", containers: user(-1), fields: RUN_AS_USER },
  { what: "user 2147483648", containers: user(2_147_483_648), fields: RUN_AS_USER },
  { what: "user 4294967295", containers: user(4_294_967_295), fields: RUN_AS_USER },
  { what: "user 4294967296", containers: user(4_294_967_296), fields: RUN_AS_USER },
  { what: "a quoted user", containers: user("1000"), fields: RUN_AS_USER, onlyFile: true },
  { what: "user 1.5", containers: user(1.5), fields: RUN_AS_USER, onlyFile: true },
  {
    what: "group -1",
    containers: [{ ...good, securityContext: { runAsGroup: -1 } }],
    fields: ["spec.containers[0].securityContext.runAsGroup"],
  },
  { what: "two containers of one name", containers: [good, { ...good, name: "b" }, good], fields: ["spec.containers[2].name"] },
  { what: "a container named pause", containers: [{ ...good, name: "pause" }], fields: ["spec.containers[0].name"] },
  ...["a/b", "..", ".", "a\0b", "x".repeat(64), "", "Upper", "-x", "ünï", "a b"].flatMap((name) => [
    { what: `the container's name ${JSON.stringify(name)}`, containers: [{ ...good, name }], fields: ["spec.containers[0].name"] },
    { what: `the name ${JSON.stringify(name)}`, name, fields: ["metadata.name"] },
  ]),
  { what: "a name of the form of an id", name: "0123456789abcdef0123456789abcdef", fields: ["metadata.name"] },
  { what: "no container", containers: [], fields: ["spec.containers"] },
  {
    what: "65 containers",
    containers: Array.from({ length: 65 }, (_, index) => ({ ...good, name: `a-${index}` })),
    fields: ["spec.containers"],
  },
  { what: "an image by a relative path", containers: [{ ...good, image: "oci:images/x" }], fields: ["spec.containers[0].image"] },
  { what: "an image of a registry", containers: [{ ...good, image: "docker.io/library/busybox" }], fields: ["spec.containers[0].image"] },
  { what: "an image path that climbs", containers: [{ ...good, image: "oci:/srv/../etc" }], fields: ["spec.containers[0].image"] },
  { what: "a relative working directory", containers: [{ ...good, workingDir: "tmp" }], fields: ["spec.containers[0].workingDir"] },
  {
    what: "a working directory under /proc",
    containers: [{ ...good, workingDir: "/tmp/../proc/self/fd/7" }],
    fields: ["spec.containers[0].workingDir"],
  },
  {
    what: "an environment name with =",
    containers: [{ ...good, env: [{ name: "A=B", value: "" }] }],
    fields: ["spec.containers[0].env[0].name"],
  },
  { what: "NUL in an argument", containers: [{ ...good, args: ["a", "b\0c"] }], fields: ["spec.containers[0].args[1]"] },
  {
    what: "several faults at once",
    name: "..",
    containers: [{ ...good, name: "pause", image: "x", securityContext: { runAsUser: -1, capabilities: { add: ["FLY"] } } }],
    fields: ["metadata.name", "spec.containers[0].name", "spec.containers[0].image", ...RUN_AS_USER, `${ADD}[0]`],
  },
];

/** The request as a message: ids are 64-bit numbers there. */
function asMessage({ name = "bad", containers = [good] }: Fault) {
  const wide = (context: object) =>
    Object.fromEntries(
      Object.entries(context).map(([key, value]: [string, unknown]) => [key, typeof value === "number" ? BigInt(value) : value]),
    );
  const messages = containers.map(({ securityContext, ...rest }) => ({ ...rest, securityContext: wide(securityContext ?? {}) }));
  return { metadata: { name }, spec: { containers: messages } };
}

test.each(FAULTS.filter(({ onlyFile }) => !onlyFile))(
  "$what is refused over gRPC with its field, before anything is touched",
  async (fault) => {
    const before = filesOf(node());
    const refusal = await refusalFrom(node().sandboxes.create(asMessage(fault)));
    expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", reason: "InvalidRequest", stage: "", retryable: false });
    expect(new Set(refusal.violations.map(({ field }) => field))).toEqual(new Set(fault.fields));
    expect(filesOf(node())).toEqual(before);
  },
);

test.each([
  { form: "YAML", faults: FAULTS, kind: { apiVersion: "berth/v1", kind: "Sandbox" }, write: (document: unknown) => stringify(document) },
  // A name is a name in every form.
  {
    form: "JSON",
    faults: FAULTS.filter(({ what }) => !/^the (container's )?name/.test(what)),
    kind: { apiVersion: "v1", kind: "Pod" },
    write: (document: unknown) => JSON.stringify(document),
  },
])("every fault is refused by berth run with its field, in $form", async ({ form, faults, kind, write }) => {
  // Several at a time: most of a command's time is Node's start.
  const found: unknown[] = [];
  const run = async (fault: Fault): Promise<void> => {
    const { name = "bad", containers = [good] } = fault;
    const file = writeDocument(node(), `${form}-${faults.indexOf(fault)}`, write({ ...kind, metadata: { name }, spec: { containers } }));
    const { exitCode, stdout } = await node().berth("run", "-f", file, "-o", "json");
    const { code, violations } = JSON.parse(stdout) as { code: string; violations: { field: string }[] };
    found.push({ what: fault.what, exitCode, code, fields: [...new Set(violations.map(({ field }) => field))].sort() });
  };
  const queue = [...faults];
  await Promise.all(
    [1, 2, 3].map(async () => {
      for (let fault = queue.shift(); fault; fault = queue.shift()) await run(fault);
    }),
  );
  const expected = faults.map(({ what, fields }) => ({ what, exitCode: 1, code: "INVALID_ARGUMENT", fields: [...fields].sort() }));
  const byWhat = (a: unknown, b: unknown): number => JSON.stringify(a).localeCompare(JSON.stringify(b));
  expect(found.sort(byWhat)).toEqual(expected.sort(byWhat));
  expect((await node().sandboxes.list({})).sandboxes).toEqual([]);
});

test("what else is wrong with the node or its classes is said by name, at stage runtime", async () => {
  const containers = [shell(node(), "app", "true")];
  const unknown = await refusalFrom(create(node(), "x", "kata", containers));
  expect(unknown).toMatchObject({ code: "FAILED_PRECONDITION", reason: "RuntimeClassUnknown", stage: "runtime" });
  expect(unknown.message).toContain('spec.runtimeClassName: this node has no runtime class "kata"');
  const absent = await refusalFrom(create(node(), "x", "missing", containers));
  expect(absent).toMatchObject({ code: "FAILED_PRECONDITION", reason: "RuntimeUnusable", stage: "runtime", retryable: true });
  expect(absent.message).toContain(missing.binary);
  const broken = await refusalFrom(create(node(), "x", "failing", containers));
  expect(broken).toMatchObject({ code: "FAILED_PRECONDITION", reason: "RuntimeUnusable", stage: "runtime" });
  expect(broken.message).toContain("--version does not answer like an OCI runtime");
  expect(node().leftovers()).toEqual([]);
  await expectGood("runc");
});

describe("an image", () => {
  const refusalOfImage = async (image: string, more: ContainerInit = {}) =>
    refusalFrom(create(node(), "image", "runc", [{ name: "app", image, ...more }]));

  test("that is not there, or a folder that is no layout, is NOT_FOUND", async () => {
    const dir = node().dir;
    for (const image of [`oci:${dir}/nothing`, `oci:${dir}/state:latest`, "oci:/etc/passwd", `${node().image}-other`]) {
      const refusal = await refusalOfImage(image);
      expect(refusal).toMatchObject({ code: "NOT_FOUND", reason: "ImageNotFound", stage: "image", container: "app" });
      expect(refusal.message).toContain(image);
    }
    await expectGood("runc", "image");
  });

  test("without Entrypoint and Cmd needs a command", async () => {
    const image = makeLayout(join(node().dir, "image-bare"), { layers: [{ files: { "bin/x": "" } }], tag: "bare" });
    const refusal = await refusalOfImage(image);
    expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field: "spec.containers[0].command" }] });
    expect(await refusalOfImage(image, { args: ["x"] })).toMatchObject({ code: "FAILED_PRECONDITION", reason: "StartFailed" });
    await expectGood("runc", "image");
  });

  test("with a user that its passwd does not have is refused by name", async () => {
    const image = busyboxImage(join(node().dir, "image-user"), { config: { Cmd: ["/bin/true"], User: "ghost" } });
    const refusal = await refusalOfImage(image);
    expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", reason: "UserUnresolvable", stage: "render" });
    expect(refusal.message).toContain("ghost");
    await expectGood("runc", "image");
  });

  test.each([
    ["a passwd of 11 MiB", { User: "app" }, { content: "x".repeat(11 * 1024 * 1024) }, "ImageInvalid", /more than 10485760/],
    ["a fifo as passwd", { User: "app" }, { fifo: true as const }, "ImageInvalid", /etc\/passwd/],
    [
      "a passwd that links to a file of the host",
      { User: "daemon" },
      { symlink: "/../../../../../../etc/shadow" },
      "UserUnresolvable",
      /daemon/,
    ],
    ["two colons in its USER", { User: "app:app:app" }, "app:x:1000:1000::/:\n", "UserUnresolvable", /more than one ':'/],
  ])("with %s is refused, and nothing is left", async (what, config, passwd, reason, message) => {
    const dir = join(node().dir, `image-${what.replaceAll(/\W/g, "-")}`);
    const image = busyboxImage(dir, { config: { Cmd: ["/bin/true"], ...config }, extraFiles: { "etc/passwd": passwd } });
    const refusal = await refusalOfImage(image);
    expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", reason });
    expect(refusal.message).toMatch(message);
    expect(node().leftovers()).toEqual([]);
    await expectGood("runc", "image");
  });
});

const UNRUNNABLE: readonly { what: string; container: ContainerInit }[] = [
  { what: "a command that does not exist", container: { command: ["/no/such/program"] } },
  { what: "a command that is not in PATH", container: { command: ["nosuchprogram"] } },
  { what: "a command that is not executable", container: { command: ["/etc/passwd"] } },
  { what: "a folder as command", container: { command: ["/etc"] } },
  { what: "a working directory that is a file", container: { command: ["/bin/true"], workingDir: "/etc/passwd" } },
];

/** What is no program for the kernel: a script without an interpreter's line, and one whose interpreter is not there. */
const NO_PROGRAM = {
  "data/garbage": { content: "\u0001\u0002\u0003", mode: 0o755 },
  "data/orphan": { content: "#!/no/such/shell\n", mode: 0o755 },
};

describe.each(faulty)("under $runtimeClass", ({ runtimeClass, adapter, runtime }) => {
  test.each(UNRUNNABLE)("$what is StartFailed and names the container", async ({ container }) => {
    const fine = { name: "fine", image: node().image, command: ["/bin/sleep", "1000"] };
    const refusal = await refusalFrom(create(node(), "unrunnable", runtimeClass, [fine, { ...fine, name: "broken", ...container }]));
    expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "StartFailed", container: "broken", retryable: false });
    expect(["app-create", "app-start"]).toContain(refusal.stage);
    expect(refusal.message).toContain("the command of container broken cannot be run: ");
    expect(node().leftovers()).toEqual([]);
    expect((await node().sandboxes.list({})).sandboxes).toEqual([]);
  });

  test.each(["/data/garbage", "/data/orphan"])(
    "%s, which only the kernel can refuse, is StartFailed or an app that ends with the reason",
    async (program) => {
      const image = busyboxImage(join(node().dir, "image-data"), { extraFiles: NO_PROGRAM });
      const creation = create(node(), "no-program", runtimeClass, [{ name: "app", image, command: [program] }]);
      if (adapter === "runsc") {
        expect(await refusalFrom(creation)).toMatchObject({
          code: "FAILED_PRECONDITION",
          reason: "StartFailed",
          stage: "app-start",
          container: "app",
        });
        return;
      }
      // runc and crun have answered by the time of the exec: what they say then is the app's output.
      const id = idOf(await creation);
      expect(told(await node().until(id, hasEnded))).toEqual({ state: "COMPLETED", containers: { app: "EXITED 1" } });
      expect(await node().output(id, "app", LogStream.STDERR)).toMatch(/exec format error|no such file or directory/i);
    },
  );

  test.each(["create", "start"])(
    "a runtime that fails at %s leaves nothing behind and says so; mended, the next request works",
    async (verb) => {
      runtime.fail(verb);
      const refusal = await refusalFrom(create(node(), "app", runtime.className, [shell(node(), "app", "true")]));
      expect(refusal).toMatchObject({ code: "INTERNAL", reason: "RuntimeFailed", stage: `pause-${verb}` });
      expect(refusal.message).toContain(`injected fault at ${verb}`);
      expect(node().leftovers()).toEqual([]);
      runtime.mend();
      await expectGood(runtime.className);
    },
  );
});

test("a capability that berthd does not have itself: runc and crun are refused by name before anything is touched, runsc gives it", async () => {
  // Taken from this berthd, wherever the test runs.
  await using poor = await TestNode.start({
    policy: WIDE_POLICY,
    wrapper: ["setpriv", "--bounding-set", "-sys_resource,-sys_boot", "--"],
  });
  const container = {
    ...shell(poor, "app", "grep CapEff /proc/self/status"),
    securityContext: { capabilities: { add: ["NET_ADMIN", "SYS_RESOURCE", "SYS_BOOT"] } },
  };
  const before = filesOf(poor);
  for (const runtimeClass of ["runc", "crun"]) {
    const refusal = await refusalFrom(create(poor, "strong", runtimeClass, [container]));
    expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable", stage: "runtime" });
    expect(refusal.violations.map(({ field, value }) => `${field} ${value}`).sort()).toEqual([
      `${ADD} CAP_SYS_BOOT`,
      `${ADD} CAP_SYS_RESOURCE`,
    ]);
    expect(filesOf(poor)).toEqual(before);
  }
  const id = idOf(await create(poor, "strong", "runsc", [container]));
  await poor.until(id, hasEnded);
  // AUDIT_WRITE, KILL, NET_BIND_SERVICE and the three that were asked for.
  expect(await poor.output(id, "app")).toBe("CapEff:\t0000000021401420\n");
  await poor.sandboxes.delete({ id });
  expect(poor.leftovers()).toEqual([]);
});
