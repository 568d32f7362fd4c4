import { expect, test } from "vitest";
import { Events } from "../../src/gen/berth/v1/events_pb.js";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../../src/gen/grpc/health/v1/health_pb.js";
import { create, idOf, refusalFrom, sharedNode, shell, told } from "./life-support/support.ts";

const node = sharedNode();

const app = () => [shell(node(), "app", "while :; do sleep 0.1; done")];
const health = async () => (await node().connection.client(Health).check({})).status;
const stateOf = async (id: string) => told((await node().sandboxes.get({ target: { case: "id", value: id } })).sandbox).state;

async function kindsOfNode(): Promise<string[]> {
  const kinds: string[] = [];
  const watch = node()
    .connection.client(Events)
    .watch({ start: { case: "since", value: { seconds: 0n, nanos: 0 } }, untilNow: true });
  for await (const { events } of watch) kinds.push(...events.map(({ kind }) => kind).filter((kind) => kind.startsWith("node.")));
  return kinds;
}

test("a drained node starts nothing, also after a restart, and what runs there goes on, until it is undrained", async () => {
  const running = idOf(await create(node(), "running", "runc", app()));
  const stopped = idOf(await create(node(), "stopped", "runc", app()));
  await node().sandboxes.stop({ id: stopped });
  expect(await health()).toBe(ServingStatus.SERVING);
  expect(await node().berth("node", "drain")).toMatchObject({ exitCode: 0 });

  const expectDrained = async (): Promise<void> => {
    expect(await health()).toBe(ServingStatus.NOT_SERVING);
    const refused = { code: "UNAVAILABLE", reason: "Draining", message: expect.stringContaining("berth node undrain") };
    expect(await refusalFrom(create(node(), "new", "runc", app()))).toMatchObject(refused);
    expect(await refusalFrom(node().sandboxes.start({ id: stopped }))).toMatchObject(refused);
    expect((await node().sandboxes.list({})).sandboxes).toHaveLength(2);
    expect(await stateOf(running)).toBe("RUNNING");
    expect((await node().info.info({})).draining).toBe(true);
    expect((await node().berth("node")).stdout).toContain("refused (drained)");
  };
  await expectDrained();
  // Asked for by one who does not know that it is there, it is answered.
  expect(idOf(await create(node(), "running", "runc", app()))).toBe(running);
  await node().endDaemon("SIGKILL");
  await node().startDaemon();
  await expectDrained();
  await node().info.drain({});

  expect(await node().berth("node", "undrain", "-o", "json")).toMatchObject({ exitCode: 0 });
  expect(await health()).toBe(ServingStatus.SERVING);
  expect((await node().info.info({})).draining).toBe(false);
  expect(told((await node().sandboxes.start({ id: stopped })).sandbox).state).toBe("RUNNING");
  await create(node(), "new", "runc", app());
  expect(await kindsOfNode()).toEqual(["node.drained", "node.undrained"]);
});
