import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { LogStream } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { CLASSES } from "./node.ts";
import {
  create,
  faultyRuntime,
  hasEnded,
  idOf,
  refusalFrom,
  seconds,
  sharedNode,
  shell,
  told,
  untilWritten,
  waitFor,
  writeDocument,
} from "./life-support/support.ts";

const BERTH = fileURLToPath(new URL("../../src/cli/berth.ts", import.meta.url));
const scripts = mkdtempSync("/tmp/berth-faulty-");
const faulty = CLASSES.map((entry) => ({ runtimeClass: entry.name, runtime: faultyRuntime(scripts, entry) }));
const node = sharedNode({ runtimeClasses: faulty.map(({ runtime }) => runtime.runtimeClass) });

afterEach(() => {
  for (const { runtime } of faulty) {
    runtime.mend();
    runtime.release();
  }
});
afterAll(() => rmSync(scripts, { recursive: true, force: true }));

const runc = faulty.find(({ runtimeClass }) => runtimeClass === "runc")?.runtime;
if (!runc) throw new Error("runc is always tested");
const app = () => [shell(node(), "app", "echo ready; exec sleep 1000")];
const other = () => [shell(node(), "app", "echo other; exec sleep 1000")];
const NO_ONE = "0".repeat(32);

describe.each(faulty)("under $runtimeClass", ({ runtime }) => {
  test.each(["create", "start"])("a delete during %s cancels the creation: nothing is left and the name is free", async (verb) => {
    runtime.hold(verb);
    const creation = refusalFrom(create(node(), "cancelled", runtime.className, app()));
    await runtime.held(verb);
    const { sandboxes } = await node().sandboxes.list({});
    expect(sandboxes.map((sandbox) => told(sandbox).state)).toEqual(["CREATING"]);
    const deletion = node().sandboxes.delete({ id: idOf(sandboxes[0]) });
    // Calls of one connection arrive in order: when this one is answered, the delete is there.
    await node().sandboxes.list({});
    runtime.release();
    expect(await deletion).toMatchObject({ existed: true });
    expect(await creation).toMatchObject({ code: "ABORTED", reason: "Cancelled", retryable: true });
    expect(node().leftovers()).toEqual([]);
    const again = await create(node(), "cancelled", runtime.className, app());
    expect(told(again)).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
  });

  test("a stop during the creation is refused, naming what runs", async () => {
    runtime.hold("start");
    const creation = create(node(), "busy", runtime.className, app());
    await runtime.held("start");
    const { sandboxes } = await node().sandboxes.list({});
    const refusal = await refusalFrom(node().sandboxes.stop({ id: idOf(sandboxes[0]) }));
    expect(refusal).toMatchObject({
      code: "ABORTED",
      reason: "Busy",
      retryable: true,
      message: "sandbox default/busy is busy: create runs on it",
    });
    runtime.release();
    expect(told(await creation)).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
  });
});

test("an equal spec joins the creation that runs and the sandbox that is there; another one is refused, then and afterwards", async () => {
  runc.hold("create");
  const first = create(node(), "joined", runc.className, app());
  await runc.held("create");
  const second = create(node(), "joined", runc.className, app());
  // The second call has arrived when this one, behind it on the connection, is answered.
  const taken = await refusalFrom(create(node(), "joined", runc.className, other()));
  expect(taken).toMatchObject({ code: "ALREADY_EXISTS", reason: "NameTaken", retryable: false });
  expect(taken.message).toContain("default/joined");
  runc.release();
  const [one, two] = await Promise.all([first, second]);
  expect(idOf(two)).toBe(idOf(one));
  expect(told(two)).toEqual({ state: "RUNNING", containers: { app: "RUNNING" } });
  expect(idOf(await create(node(), "joined", runc.className, app()))).toBe(idOf(one));
  expect(await refusalFrom(create(node(), "joined", runc.className, other()))).toMatchObject({ code: "ALREADY_EXISTS" });
  const labelled = node().sandboxes.create({
    metadata: { name: "joined", labels: { a: "b" } },
    spec: { runtimeClassName: runc.className, containers: app() },
  });
  expect(await refusalFrom(labelled)).toMatchObject({ code: "ALREADY_EXISTS" });
  await node().sandboxes.stop({ id: idOf(one), gracePeriod: seconds(0) });
  expect(told(await create(node(), "joined", runc.className, app())).state).toBe("STOPPED");
  expect(await refusalFrom(create(node(), "joined", runc.className, other()))).toMatchObject({ code: "ALREADY_EXISTS" });
});

test("those who joined a creation that fails get its error, and the name is free", async () => {
  runc.hold("start");
  runc.fail("start");
  const calls = [1, 2, 3].map(() => refusalFrom(create(node(), "failing", runc.className, app())));
  await runc.held("start");
  await node().sandboxes.list({});
  runc.release();
  const refusals = await Promise.all(calls);
  expect(new Set(refusals.map(({ message }) => message)).size).toBe(1);
  expect(refusals[0]).toMatchObject({ code: "INTERNAL", stage: "pause-start" });
  runc.mend();
  expect(told(await create(node(), "failing", runc.className, other())).state).toBe("RUNNING");
});

test.each(["crun", "runsc"])("30 callers at once make one sandbox under %s", async (runtimeClass) => {
  const answers = await Promise.all(Array.from({ length: 30 }, () => create(node(), "crowded", runtimeClass, app())));
  expect(new Set(answers.map(idOf)).size).toBe(1);
  expect(answers.every((sandbox) => told(sandbox).state === "RUNNING")).toBe(true);
  expect((await node().sandboxes.list({})).sandboxes.map(idOf)).toEqual([idOf(answers[0])]);
});

test("of 10 callers with 10 specs one gets the name", async () => {
  const calls = Array.from({ length: 10 }, (_, index) =>
    create(node(), "wanted", "crun", [shell(node(), "app", `exec sleep ${1000 + index}`)]),
  );
  const results = await Promise.allSettled(calls);
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  const refusals = await Promise.all(
    calls.map((call) =>
      call.then(
        () => undefined,
        async () => (await refusalFrom(call)).code,
      ),
    ),
  );
  expect(refusals.filter((code) => code !== undefined)).toEqual(Array.from({ length: 9 }, () => "ALREADY_EXISTS"));
});

describe("a request id", () => {
  const request = (requestId: string, name: string, containers = app()) =>
    node().sandboxes.create({ requestId, metadata: { name }, spec: { runtimeClassName: "crun", containers } });

  test("makes a repeat answer the first call's sandbox, also when it has ended", async () => {
    const brief = () => [shell(node(), "app", "exit 0")];
    const { sandbox } = await request("r-1", "first", brief());
    await node().until(idOf(sandbox), hasEnded);
    const repeat = await request("r-1", "first", brief());
    expect(idOf(repeat.sandbox)).toBe(idOf(sandbox));
    expect(told(repeat.sandbox)).toEqual({ state: "COMPLETED", containers: { app: "EXITED 0" } });
  });

  test("is refused for another name or spec, and forgotten with the sandbox", async () => {
    const { sandbox } = await request("r-2", "second");
    expect(await refusalFrom(request("r-2", "third"))).toMatchObject({
      code: "ALREADY_EXISTS",
      message: expect.stringContaining("r-2") as string,
    });
    expect(await refusalFrom(request("r-2", "second", other()))).toMatchObject({ code: "ALREADY_EXISTS" });
    expect(idOf((await request("r-3", "second")).sandbox)).toBe(idOf(sandbox));
    await node().sandboxes.delete({ id: idOf(sandbox), gracePeriod: seconds(0) });
    expect(idOf((await request("r-2", "third")).sandbox)).not.toBe(idOf(sandbox));
  });

  test("of more than 128 characters is refused", async () => {
    const refusal = await refusalFrom(request("x".repeat(129), "long"));
    expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field: "requestId" }] });
    expect(told((await request("x".repeat(128), "long")).sandbox).state).toBe("RUNNING");
  });
});

test("a client that hangs up in the middle of a creation changes nothing", async () => {
  const document = {
    apiVersion: "berth/v1",
    kind: "Sandbox",
    metadata: { name: "left" },
    spec: { runtimeClassName: runc.className, containers: app() },
  };
  const file = writeDocument(node(), "left.json", JSON.stringify(document));
  runc.hold("create");
  const client = spawn(process.execPath, [BERTH, "run", "-f", file], {
    env: { ...process.env, BERTH_ADDRESS: node().address },
    stdio: "ignore",
  });
  const ended = new Promise((resolve) => client.once("exit", resolve));
  await runc.held("create");
  client.kill("SIGKILL");
  await ended;
  runc.release();
  const sandbox = await waitFor("the creation", async () =>
    (await node().sandboxes.list({})).sandboxes.find((found) => told(found).state === "RUNNING"),
  );
  await untilWritten(node(), idOf(sandbox), "app", "ready");
  expect(idOf(await create(node(), "left", runc.className, app()))).toBe(idOf(sandbox));
});

test("two deletes at once both find it gone afterwards, and a create during a delete is refused", async () => {
  const id = idOf(await create(node(), "twice", "runc", [shell(node(), "app", "trap '' TERM; echo ready; while :; do sleep 0.05; done")]));
  await untilWritten(node(), id, "app", "ready");
  const deletions = [1, 2].map(() => node().sandboxes.delete({ id, gracePeriod: seconds(1) }));
  await waitFor(
    "the delete",
    async () => told((await node().sandboxes.get({ target: { case: "id", value: id } })).sandbox).state === "DELETING",
  );
  const refusal = await refusalFrom(create(node(), "twice", "runc", app()));
  expect(refusal).toMatchObject({ code: "ABORTED", reason: "Busy", message: "sandbox default/twice is busy: delete runs on it" });
  expect(await refusalFrom(node().sandboxes.stop({ id }))).toMatchObject({ code: "ABORTED", reason: "Busy" });
  expect((await Promise.all(deletions)).map(({ existed }) => existed)).toEqual([true, true]);
  expect(await node().sandboxes.delete({ id })).toMatchObject({ existed: false });
  expect(told(await create(node(), "twice", "runc", app())).state).toBe("RUNNING");
});

test("a delete hurries a stop that waits for its grace", async () => {
  const id = idOf(
    await create(node(), "hurried", "runc", [shell(node(), "app", "trap '' TERM; echo ready; while :; do sleep 0.05; done")]),
  );
  await untilWritten(node(), id, "app", "ready");
  // An hour of grace: were it waited for, the test would run into its limit.
  const stop = node().sandboxes.stop({ id, gracePeriod: seconds(3600) });
  await waitFor(
    "the stop",
    async () => told((await node().sandboxes.get({ target: { case: "id", value: id } })).sandbox).state === "STOPPING",
  );
  expect(await node().sandboxes.delete({ id, gracePeriod: seconds(0) })).toMatchObject({ existed: true });
  expect(told((await stop).sandbox).containers).toEqual({ app: "EXITED 137" });
});

test("what is not there: delete says so, the others answer NOT_FOUND; what is no id is refused", async () => {
  expect(await node().sandboxes.delete({ id: NO_ONE })).toMatchObject({ existed: false });
  const calls = [
    node().sandboxes.get({ target: { case: "id", value: NO_ONE } }),
    node().sandboxes.get({ target: { case: "name", value: { name: "nobody" } } }),
    node().sandboxes.stop({ id: NO_ONE }),
    node().output(NO_ONE, "app", LogStream.STDOUT),
  ];
  for (const call of calls)
    expect(await refusalFrom(call)).toMatchObject({ code: "NOT_FOUND", reason: "SandboxNotFound", retryable: false });
  const malformed = [
    node().sandboxes.delete({ id: NO_ONE.slice(1) }),
    node().sandboxes.delete({ id: "" }),
    node().sandboxes.stop({ id: "../../etc" }),
    node().sandboxes.get({ target: { case: "id", value: NO_ONE.toUpperCase().replace("0", "A") } }),
    node().output("nobody", "app"),
  ];
  for (const call of malformed) expect(await refusalFrom(call)).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field: "id" }] });
});

test("list answers pages, by namespace and labels, in order, and no prefix of an id names a sandbox", async () => {
  const make = async (namespace: string, name: string, labels: Record<string, string>) =>
    node().sandboxes.create({
      metadata: { namespace, name, labels },
      spec: { runtimeClassName: "crun", containers: [shell(node(), "app", "true")] },
    });
  await Promise.all([
    make("team-b", "a", { tier: "web" }),
    make("team-a", "c", { tier: "web", zone: "1" }),
    make("team-a", "b", {}),
    make("", "z", { tier: "db" }),
    make("team-a", "a", { tier: "web", zone: "2" }),
  ]);
  const names = ({ sandboxes }: Awaited<ReturnType<ReturnType<typeof node>["sandboxes"]["list"]>>) =>
    sandboxes.map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`);
  const all = ["default/z", "team-a/a", "team-a/b", "team-a/c", "team-b/a"];
  expect(names(await node().sandboxes.list({}))).toEqual(all);
  expect(names(await node().sandboxes.list({ namespace: "team-a" }))).toEqual(["team-a/a", "team-a/b", "team-a/c"]);
  expect(names(await node().sandboxes.list({ namespace: "team" }))).toEqual([]);
  expect(names(await node().sandboxes.list({ labels: { tier: "web" } }))).toEqual(["team-a/a", "team-a/c", "team-b/a"]);
  expect(names(await node().sandboxes.list({ labels: { tier: "web", zone: "1" } }))).toEqual(["team-a/c"]);
  const pages: string[][] = [];
  for (let pageToken = ""; ; ) {
    const page = await node().sandboxes.list({ pageSize: 2, pageToken });
    pages.push(names(page));
    pageToken = page.nextPageToken;
    if (pageToken === "") break;
  }
  expect(pages).toEqual([all.slice(0, 2), all.slice(2, 4), all.slice(4)]);
  expect(await refusalFrom(node().sandboxes.list({ pageSize: 1001 }))).toMatchObject({
    code: "INVALID_ARGUMENT",
    violations: [{ field: "pageSize" }],
  });
  const { sandboxes } = await node().sandboxes.list({});
  expect(
    await refusalFrom(
      node().sandboxes.get({ target: { case: "name", value: { namespace: "team-a", name: idOf(sandboxes[0]).slice(0, 8) } } }),
    ),
  ).toMatchObject({ code: "NOT_FOUND" });
});
