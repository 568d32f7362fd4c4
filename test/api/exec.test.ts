import type { MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { refusalOf } from "../../src/api/client.ts";
import type { SandboxesExecRequestSchema, SandboxesExecResponse } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { startServer } from "./fixture.ts";

const ID = "0123456789abcdef0123456789abcdef";
type Message = NonNullable<MessageInitShape<typeof SandboxesExecRequestSchema>["message"]>;
type Api = Awaited<ReturnType<typeof startServer>>;

const START: Message = { case: "start", value: { id: ID, container: "app", command: ["ls"], stdin: true } };

async function answersTo(api: Api, ...messages: Message[]): Promise<SandboxesExecResponse["message"][]> {
  async function* requests() {
    for (const message of messages) yield { message };
  }
  const answers: SandboxesExecResponse["message"][] = [];
  for await (const { message } of api.client.exec(requests())) answers.push(message);
  return answers;
}

async function refusalFor(api: Api, ...messages: Message[]) {
  const thrown: unknown = await answersTo(api, ...messages).catch((error: unknown) => error);
  const refusal = refusalOf(thrown);
  if (!refusal) throw new Error("it was not refused", { cause: thrown });
  return refusal;
}

test("requests reach the program in order, and its output and exit code come back", async () => {
  await using api = await startServer();
  const { session } = api.sandboxes;
  session.outputs = [
    { stream: "stdout", data: Buffer.from("o") },
    { stream: "stderr", data: Buffer.from("e") },
  ];
  const answers = await answersTo(
    api,
    START,
    { case: "stdin", value: Buffer.from("a") },
    { case: "signal", value: "TERM" },
    { case: "stdin", value: Buffer.from("b") },
  );
  expect(answers.map((answer) => answer.case)).toEqual(["started", "stdout", "stderr", "exited"]);
  expect(answers.at(-1)?.value).toMatchObject({ exitCode: 42 });
  expect(session.sent).toEqual(["stdin a", "signal 15", "stdin b", "close", "hang up"]);
  expect(api.sandboxes.calls).toEqual([
    {
      verb: "exec",
      argument: { id: ID, container: "app", request: { command: ["ls"], env: [], workingDir: "", tty: false, stdin: true } },
    },
  ]);
});

test("whoever leaves hangs up", async () => {
  await using api = await startServer();
  async function* requests() {
    yield { message: START };
    await new Promise(() => undefined);
  }
  for await (const { message } of api.client.exec(requests())) if (message.case === "started") break;
  await expect.poll(() => api.sandboxes.session.sent).toContain("hang up");
  // Its input was not whole.
  expect(api.sandboxes.session.sent).not.toContain("close");
});

test("nothing runs before a start that is right", async () => {
  await using api = await startServer();
  expect(await refusalFor(api)).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field: "start" }] });
  expect(await refusalFor(api, { case: "closeStdin", value: {} })).toMatchObject({ violations: [{ field: "start" }] });
  expect(await refusalFor(api, { case: "start", value: { id: "x", command: ["ls"] } })).toMatchObject({ violations: [{ field: "id" }] });
  expect(await refusalFor(api, { case: "start", value: { id: ID } })).toMatchObject({ violations: [{ field: "command" }] });
  expect(api.sandboxes.calls).toEqual([]);
});

test.each<[string, Message]>([
  ["start", START],
  ["stdin", { case: "stdin", value: Buffer.from("a") }],
  ["closeStdin", { case: "closeStdin", value: {} }],
  ["resize", { case: "resize", value: { columns: 80, rows: 24 } }],
  ["signal", { case: "signal", value: "NOSUCH" }],
  ["message", { case: undefined }],
])("%s that is out of place is refused, and ends the program", async (field, message) => {
  await using api = await startServer();
  const start: Message = { case: "start", value: { id: ID, command: ["ls"] } };
  expect(await refusalFor(api, start, message)).toMatchObject({ code: "INVALID_ARGUMENT", violations: [{ field }] });
  expect(api.sandboxes.session.sent).toContain("hang up");
});
