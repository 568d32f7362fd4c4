import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, test } from "vitest";
import type { ExecStartSchema, SandboxesExecRequestSchema } from "../../src/gen/berth/v1/sandboxes_pb.js";
import { CLASSES } from "./node.ts";
import { create, idOf, refusalFrom, sharedNode, shell, waitFor } from "./life-support/support.ts";

const BERTH = fileURLToPath(new URL("../../src/cli/berth.ts", import.meta.url));

/** One node and one sandbox for each class; every test leaves them as they were. */
const node = sharedNode({}, "once");

type Start = MessageInitShape<typeof ExecStartSchema>;
type Request = MessageInitShape<typeof SandboxesExecRequestSchema>;
type Message = NonNullable<Request["message"]>;

interface Ended {
  stdout: Buffer;
  stderr: Buffer;
  exitCode: number | undefined;
}

/** Runs a program to its end. */
async function run(start: Start, more: AsyncIterable<Message> | readonly Message[] = []): Promise<Ended> {
  async function* requests(): AsyncGenerator<Request> {
    yield { message: { case: "start", value: start } };
    for await (const message of more) yield { message };
  }
  const parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  let exitCode: number | undefined;
  for await (const { message } of node().sandboxes.exec(requests())) {
    if (message.case === "stdout" || message.case === "stderr") parts[message.case].push(message.value);
    else if (message.case === "exited") exitCode = message.value.exitCode;
  }
  return { stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr), exitCode };
}

/** A program that was started, with its first output, and the way to leave it. */
async function running(start: Start): Promise<{ first: string; leave(): Promise<void> }> {
  const never = Promise.withResolvers<void>();
  async function* requests(): AsyncGenerator<Request> {
    yield { message: { case: "start", value: start } };
    await never.promise;
  }
  const answers = node().sandboxes.exec(requests())[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await answers.next();
    if (done) throw new Error("the program ended before it wrote");
    if (value.message.case !== "stdout") continue;
    const leave = async (): Promise<void> => {
      never.resolve();
      await answers.return?.(undefined);
    };
    return { first: Buffer.from(value.message.value).toString(), leave };
  }
}

const sh = (script: string): string[] => ["/bin/sh", "-c", script];
/** What a program may do, as it sees it. runsc gives the umask to a container's first process only. */
const STATUS = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status; cat /proc/self/cgroup; echo limit $(ulimit -n)";
const text = ({ stdout, stderr, exitCode }: Ended) => ({ stdout: stdout.toString(), stderr: stderr.toString(), exitCode });
const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

describe.each(CLASSES)("under $name", ({ name: runtimeClass }) => {
  let id = "";
  beforeAll(async () => {
    const user = { runAsUser: 1000n, capabilities: { add: ["SYS_CHROOT"], drop: ["KILL"] } };
    const app = {
      ...shell(node(), "app", "mkdir -p /tmp/w; sleep 100000"),
      env: [
        { name: "OWN", value: "app" },
        { name: "KEPT", value: "yes" },
      ],
    };
    const web = { ...shell(node(), "web", `${STATUS}; sleep 100000`), securityContext: { ...user, allowPrivilegeEscalation: false } };
    const short = shell(node(), "short", "exit 3");
    id = idOf(await create(node(), `exec-${runtimeClass}`, runtimeClass, [app, web, short]));
  });
  const inApp = (script: string, more: Start = {}): Start => ({ id, container: "app", command: sh(script), ...more });
  const processes = async (): Promise<string> => (await run(inApp("ps"))).stdout.toString();

  test("output comes apart, and the exit code is the program's, also one that the runtime uses for its own failures", async () => {
    expect(text(await run(inApp("echo out; echo err >&2; exit 42")))).toEqual({ stdout: "out\n", stderr: "err\n", exitCode: 42 });
    for (const code of [0, 1, 125, 126, 127, 128, 255]) expect((await run(inApp(`exit ${code}`))).exitCode).toBe(code);
    expect((await run(inApp("kill -9 $$"))).exitCode).toBe(137);
  });

  test("environment, folder and stdin are what was asked for; the rest is the container's", async () => {
    const env = [
      { name: "OWN", value: "$(KEPT) exec=" },
      { name: "NEW", value: "" },
    ];
    const asked = await run(inApp('echo "$OWN|$KEPT|${NEW-unset}|$PWD"; cat', { env, workingDir: "/tmp/w" }));
    expect(text(asked)).toEqual({ stdout: "$(KEPT) exec=|yes||/tmp/w\n", stderr: "", exitCode: 0 });
    const fed = await run(inApp("cat; echo end", { stdin: true }), [
      { case: "stdin", value: Buffer.from("a b\0") },
      { case: "stdin", value: Buffer.from([0xff, 0x0a]) },
      { case: "closeStdin", value: {} },
    ]);
    expect(fed.stdout).toEqual(Buffer.concat([Buffer.from("a b\0"), Buffer.from([0xff, 0x0a]), Buffer.from("end\n")]));
  });

  test("the program has the container's user, groups, capabilities, no_new_privs, limits and cgroup, and no more", async () => {
    const own = await waitFor("the container's own status", async () => {
      const written = await node().output(id, "web");
      return written.includes("limit") && written;
    });
    // AUDIT_WRITE, NET_BIND_SERVICE and SYS_CHROOT; none of them effective for a user that is not root.
    expect(own).toMatch(/Uid:\t1000\t[^]*CapInh:\t0000000020040400\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000/);
    expect((await run({ id, container: "web", command: sh(STATUS) })).stdout.toString()).toBe(own);
  });

  test("a signal reaches the program", async () => {
    const ready = Promise.withResolvers<void>();
    async function* requests(): AsyncGenerator<Request> {
      yield { message: { case: "start", value: inApp("trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done") } };
      await ready.promise;
      yield { message: { case: "signal", value: "SIGUSR1" } };
    }
    let exitCode: number | undefined;
    for await (const { message } of node().sandboxes.exec(requests())) {
      if (message.case === "stdout") ready.resolve();
      if (message.case === "exited") exitCode = message.value.exitCode;
    }
    expect(exitCode).toBe(9);
  });

  test("a program that cannot be run is an error and no exit code", async () => {
    const refused = async (command: string[], more: Start = {}) => await refusalFrom(run({ id, container: "app", command, ...more }));
    for (const refusal of [await refused(["nosuch"]), await refused(["/etc/passwd"]), await refused(["true"], { workingDir: "/nosuch" })])
      expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "StartFailed", container: "app", stage: "exec" });
    expect((await refused(["nosuch"])).message).toMatch(/nosuch/);
  });

  test("64 MiB go in and come out byte for byte", async () => {
    const piece = Buffer.concat(Array.from({ length: 2048 }, (_, index) => createHash("sha256").update(String(index)).digest()));
    const pieces = 1024;
    const hash = createHash("sha256");
    for (let index = 0; index < pieces; index++) hash.update(piece);
    const sent = hash.digest("hex");
    async function* input(): AsyncGenerator<Message> {
      for (let index = 0; index < pieces; index++) yield { case: "stdin", value: piece };
    }
    const inside = await run(inApp("sha256sum", { stdin: true }), input());
    expect(inside.stdout.toString().split(" ")[0]).toBe(sent);
    const back = await run(inApp("cat", { stdin: true }), input());
    expect(back.stdout.length).toBe(piece.length * pieces);
    expect(digest(back.stdout)).toBe(sent);
  });

  test("a reader that stops for a while gets all, and the program waits for it", async () => {
    const count = 200_000;
    let read = "";
    async function* start(): AsyncGenerator<Request> {
      yield { message: { case: "start", value: inApp(`seq ${count}; echo done >&2`) } };
    }
    for await (const { message } of node().sandboxes.exec(start())) {
      if (message.case === "stdout" && read === "") await sleep(500);
      if (message.case === "stdout") read += Buffer.from(message.value).toString();
    }
    expect(read).toBe(`${Array.from({ length: count }, (_, index) => index + 1).join("\n")}\n`);
  });

  test("who hangs up ends the program, and nothing of the exec is left", async () => {
    const program = await running(inApp("echo ready; exec sleep 4321"));
    expect(program.first).toBe("ready\n");
    await program.leave();
    await waitFor("the program's end", async () => !(await processes()).includes("sleep 4321"));
    await waitFor("the exec's folder to go", () => execFolders().length === 0);
  });

  test("berthd's death ends the program: when it comes back, or before", async () => {
    const program = await running(inApp("trap '' PIPE HUP; echo ready; exec sleep 4322"));
    await node().endDaemon("SIGKILL");
    await program.leave().catch(() => undefined);
    await node().startDaemon();
    expect(await processes()).not.toContain("sleep 4322");
    expect(execFolders()).toEqual([]);
  });

  test("what ended, what does not exist and what berthd made is refused", async () => {
    const refused = async (start: Start) => await refusalFrom(run({ command: ["true"], id, ...start }));
    expect(await refused({ container: "short" })).toMatchObject({ code: "FAILED_PRECONDITION", reason: "WrongState" });
    expect(await refused({ container: "pause" })).toMatchObject({ code: "FAILED_PRECONDITION", reason: "WrongState" });
    expect(await refused({ container: "nosuch" })).toMatchObject({ code: "NOT_FOUND", reason: "ContainerNotFound" });
    expect(await refused({})).toMatchObject({ code: "NOT_FOUND", reason: "ContainerNotFound" });
    expect(await refused({ id: "0".repeat(32) })).toMatchObject({ code: "NOT_FOUND", reason: "SandboxNotFound" });
  });

  test("a stop ends what exec started, and afterwards there is no exec", async () => {
    const own = idOf(await create(node(), `stopped-${runtimeClass}`, runtimeClass, [shell(node(), "app", "sleep 100000")]));
    const program = run({ id: own, command: sh("trap '' TERM; while :; do sleep 0.1; done") });
    const ended = program.then(
      ({ exitCode }) => exitCode,
      () => "lost",
    );
    await waitFor("the program", () => execFolders(own).some((folder) => existsSync(join(folder, "pid"))));
    await node().sandboxes.stop({ id: own, gracePeriod: { seconds: 0n, nanos: 0 } });
    expect([137, "lost"]).toContain(await ended);
    expect(await refusalFrom(run({ id: own, command: ["true"] }))).toMatchObject({ code: "FAILED_PRECONDITION", reason: "WrongState" });
    await node().sandboxes.delete({ id: own });
  });

  test("berth exec passes bytes and the exit code on, and has codes of its own for what is no program's end", async () => {
    const berth = async (args: string[], input = Buffer.alloc(0)) => {
      const child = spawn(process.execPath, [BERTH, "exec", ...args], { env: { ...process.env, BERTH_ADDRESS: node().address } });
      child.stdin.on("error", () => undefined).end(input);
      const code = new Promise<number | null>((resolve) => child.once("close", resolve));
      const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
      return { code: await code, stdout: stdout.toString("latin1"), stderr: stderr.toString() };
    };
    const sandbox = `exec-${runtimeClass}`;
    const bytes = Buffer.from([0, 255, 10, 13]);
    const cat = await berth(
      ["-i", sandbox, "-c", "app", "-e", "A=b", "-w", "/tmp", "--", "sh", "-c", "cat; echo $A $PWD >&2; exit 7"],
      bytes,
    );
    expect(cat).toEqual({ code: 7, stdout: bytes.toString("latin1"), stderr: "b /tmp\n" });
    expect(await berth([sandbox, "-c", "app", "--", "nosuch"])).toMatchObject({ code: 127, stdout: "" });
    expect(await berth([sandbox, "-c", "app", "--", "/etc/passwd"])).toMatchObject({ code: 126, stdout: "" });
    expect(await berth(["nosuch-sandbox", "--", "true"])).toMatchObject({ code: 125, stdout: "" });
  });

  /** Folders of the execs that are open in the sandbox. */
  function execFolders(of = id): string[] {
    const dir = join(node().run, "s", of);
    return readdirSync(dir).flatMap((container) => {
      const execs = join(dir, container, "exec");
      return existsSync(execs) ? readdirSync(execs).map((name) => join(execs, name)) : [];
    });
  }
});
