import { timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { type Sandbox, type SandboxSpecSchema, SandboxState } from "../../src/gen/berth/v1/sandbox_pb.js";
import { CLASSES } from "./node.ts";
import { idOf, refusalFrom, sharedNode, shell, told, untilWritten, waitFor } from "./life-support/support.ts";

const node = sharedNode();

const ENDS_ON_TERM = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.02; done";

async function create(name: string, runtimeClassName: string, spec: MessageInitShape<typeof SandboxSpecSchema>): Promise<Sandbox> {
  const containers = [shell(node(), "app", ENDS_ON_TERM)];
  const { sandbox } = await node().sandboxes.create({ metadata: { name }, spec: { runtimeClassName, containers, ...spec } });
  if (!sandbox) throw new Error("berthd answered no sandbox");
  await untilWritten(node(), idOf(sandbox), "app", "ready");
  return sandbox;
}

async function get(id: string): Promise<Sandbox> {
  const { sandbox } = await node().sandboxes.get({ target: { case: "id", value: id } });
  if (!sandbox) throw new Error("berthd answered no sandbox");
  return sandbox;
}

const is = (state: SandboxState) => (sandbox: Sandbox) => sandbox.status?.state === state;
const fromNow = (seconds: number) => timestampFromMs(Date.now() + seconds * 1000);
const versionOf = (sandbox: Sandbox): string => sandbox.metadata?.resourceVersion ?? "";

describe.each(CLASSES)("under $name", ({ name: runtimeClass }) => {
  test("a sandbox that is active for too long gets its stop signal, is FAILED, and goes when its time after that is over", async () => {
    const id = idOf(await create("deadline", runtimeClass, { activeDeadlineSeconds: 3n, ttlSecondsAfterFinished: 2n }));
    const ended = await node().until(id, is(SandboxState.FAILED));
    expect(told(ended)).toEqual({ state: "FAILED", containers: { app: "EXITED 3" } });
    expect(ended.status?.reason).toBe("DeadlineExceeded");
    await waitFor("the deletion", async () => (await node().sandboxes.list({})).sandboxes.length === 0);
    expect(node().leftovers()).toEqual([]);
  });

  test("a lease that nobody renews ends the sandbox, also one that passes while berthd is not there", async () => {
    const sandbox = await create("lease", runtimeClass, { expiresAt: fromNow(6) });
    await node().endDaemon("SIGKILL");
    await sleep(timestampDate(sandbox.status?.expiresAt ?? fromNow(0)).getTime() - Date.now());
    await node().startDaemon();
    const ended = await node().until(idOf(sandbox), is(SandboxState.STOPPED));
    expect(told(ended)).toEqual({ state: "STOPPED", containers: { app: "EXITED 3" } });
    expect(ended.status?.reason).toBe("LeaseExpired");
  });
});

test("a lease is renewed from the version that the caller saw, counts on after a restart, and a repeat of the create still joins", async () => {
  const spec = { runtimeClassName: "runc", containers: [shell(node(), "app", ENDS_ON_TERM)], expiresAt: fromNow(5) };
  const { sandbox: first } = await node().sandboxes.create({ metadata: { name: "renewed" }, spec });
  const [id, later] = [idOf(first), fromNow(3600)];
  const { sandbox: renewed } = await node().sandboxes.renewLease({ id, expiresAt: later, resourceVersion: versionOf(await get(id)) });
  expect(renewed?.status?.expiresAt).toEqual(later);
  const stale = await refusalFrom(
    node().sandboxes.renewLease({ id, expiresAt: fromNow(7200), resourceVersion: first ? versionOf(first) : "" }),
  );
  expect(stale).toMatchObject({ code: "ABORTED", reason: "Conflict" });
  expect(stale.message).toContain(`has the resource version ${renewed ? versionOf(renewed) : ""} now`);
  await sleep(timestampDate(spec.expiresAt).getTime() - Date.now() + 100);
  await node().endDaemon("SIGKILL");
  await node().startDaemon();
  const alive = await get(id);
  expect([told(alive).state, alive.status?.expiresAt]).toEqual(["RUNNING", later]);
  const { sandbox: again } = await node().sandboxes.create({ metadata: { name: "renewed" }, spec });
  expect(idOf(again)).toBe(id);
});

test("berth renew moves the lease, and a start needs one that is not over", async () => {
  const id = idOf(await create("over", "runc", { expiresAt: fromNow(4) }));
  await node().until(id, is(SandboxState.STOPPED));
  expect(await refusalFrom(node().sandboxes.start({ id }))).toMatchObject({
    reason: "WrongState",
    message: expect.stringContaining("renew it first"),
  });
  expect(await node().berth("renew", "over", "--for", "10m")).toMatchObject({ exitCode: 0 });
  expect(told((await node().sandboxes.start({ id })).sandbox).state).toBe("RUNNING");
  const past = await refusalFrom(node().sandboxes.renewLease({ id, expiresAt: fromNow(-1), resourceVersion: versionOf(await get(id)) }));
  expect(past).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field: "expiresAt", rule: "is over" }] });
});

test("a lease that is over creates nothing", async () => {
  const containers = [shell(node(), "app", "true")];
  const spec = { runtimeClassName: "runc", containers, expiresAt: fromNow(-1) };
  const refusal = await refusalFrom(node().sandboxes.create({ metadata: { name: "late" }, spec }));
  expect(refusal).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field: "spec.expiresAt", rule: "is over" }] });
  expect((await node().sandboxes.list({})).sandboxes).toEqual([]);
});

test("the spec's grace counts where the call says none: with none at all the apps are killed", async () => {
  for (const end of ["api", "cli"]) {
    const id = idOf(await create("grace", "runc", { terminationGracePeriodSeconds: 0n }));
    if (end === "api") await node().sandboxes.stop({ id });
    else await node().berth("stop", "grace");
    expect(told(await get(id))).toEqual({ state: "STOPPED", containers: { app: "EXITED 137" } });
    await node().sandboxes.delete({ id });
  }
});
