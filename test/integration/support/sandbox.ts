/** A sandbox of a TestNode, with the few things that tests do to it. */

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Refusal, refusalOf } from "../../../src/api/client.ts";
import { type Sandbox, type SandboxSpecSchema, SandboxState, type SandboxStatus } from "../../../src/gen/berth/v1/sandbox_pb.js";
import type { ClassUnderTest, TestNode } from "../node.ts";
import { parseStatus, type ProcessStatus } from "./status.ts";

export type SpecInit = MessageInitShape<typeof SandboxSpecSchema>;

/** Disposing it deletes it. */
export class TestSandbox implements AsyncDisposable {
  readonly node: TestNode;
  readonly id: string;
  readonly name: string;
  readonly status: SandboxStatus;

  private constructor(node: TestNode, sandbox: Sandbox) {
    if (!sandbox.metadata || !sandbox.status) throw new Error("Create answered without metadata or status");
    this.node = node;
    this.id = sandbox.metadata.id;
    this.name = sandbox.metadata.name;
    this.status = sandbox.status;
  }

  static async create(node: TestNode, name: string, spec: SpecInit): Promise<TestSandbox> {
    const { sandbox } = await node.sandboxes.create({ metadata: { name }, spec });
    if (!sandbox) throw new Error("Create answered no sandbox");
    return new TestSandbox(node, sandbox);
  }

  /** What a create is refused with. Throws when it is not, and for what is no answer of berthd's. */
  static async refused(node: TestNode, name: string, spec: SpecInit): Promise<Refusal> {
    try {
      await TestSandbox.create(node, name, spec);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined || refusal.reason === "") throw error;
      return refusal;
    }
    throw new Error(`the create of ${name} was not refused`);
  }

  /** Id of a container; "pause" has one too. */
  containerId(name: string): string {
    const all = [...this.status.containers, ...(this.status.pause ? [this.status.pause] : [])];
    const found = all.find((container) => container.name === name);
    if (!found) throw new Error(`sandbox ${this.name} has no container ${name}`);
    return found.id;
  }

  /** Pid on the host of what the container's monitor watches. Under runc and crun that is the container's first process. */
  hostPid(container: string): number {
    return Number(readFileSync(join(this.node.run, "s", this.id, this.containerId(container), "pid"), "utf8"));
  }

  /** The runtime's own log of a container. */
  runtimeLog(container: string): string {
    return readFileSync(join(this.node.run, "s", this.id, this.containerId(container), "runtime.log"), "utf8");
  }

  /** Waits until every app has ended by itself. */
  async completed(milliseconds?: number): Promise<void> {
    await this.node.until(this.id, ({ status }) => status?.state === SandboxState.COMPLETED, milliseconds);
  }

  /** Waits until a running container has written the line, and answers all that it has written. Throws when it does not come. */
  async told(container: string, line: string, milliseconds = 20_000): Promise<string> {
    for (const deadline = Date.now() + milliseconds; ; await sleep(30)) {
      const output = await this.output(container);
      if (output.split("\n").includes(line)) return output;
      if (Date.now() > deadline) throw new Error(`container ${container} did not write ${line}, but:\n${output}`);
    }
  }

  async output(container: string): Promise<string> {
    return await this.node.output(this.id, container);
  }

  async delete(): Promise<void> {
    await this.node.sandboxes.delete({ id: this.id, gracePeriod: { seconds: 0n } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delete();
  }

  /** The copy of the runtime's binary that berthd keeps for this sandbox. */
  keptBinary(): string {
    const digest = this.status.runtime?.binaryDigest.replace("sha256:", "") ?? "";
    const folder = join(this.node.state, "runtimes", digest);
    const [name] = readdirSync(folder).filter((entry) => entry !== "gvisor-bin");
    return join(folder, name ?? "");
  }

  /**
   * The status of the pause program, never of config.json. A kernel of its own is asked from within, by an exec of a reader in
   * pause's rootfs (see addReaderToPause); where the kernel is the host's, the host's /proc is read.
   */
  pauseStatus({ adapter }: ClassUnderTest): { status: ProcessStatus; proof: object } {
    if (adapter === "runsc") {
      const root = join(this.node.run, "s", this.id, "r");
      const exec = [`--root=${root}`, "exec", this.containerId("pause"), "/busybox"];
      const run = (...args: string[]): string => execFileSync(this.keptBinary(), [...exec, ...args], { encoding: "utf8" });
      return { status: parseStatus(run("cat", "/proc/1/status")), proof: { cmdline: run("cat", "/proc/1/cmdline") } };
    }
    const pid = this.hostPid("pause");
    const proof = {
      cmdline: readFileSync(`/proc/${pid}/cmdline`, "utf8"),
      ownPidNamespace: readlinkSync(`/proc/${pid}/ns/pid`) !== readlinkSync("/proc/self/ns/pid"),
    };
    return { status: parseStatus(readFileSync(`/proc/${pid}/status`, "utf8")), proof };
  }
}

/** Waits until a berthd that was started again answers: the client's connection comes back after a pause of its own. */
export async function answering(node: TestNode): Promise<void> {
  for (const deadline = Date.now() + 20_000; ; await sleep(50)) {
    try {
      await node.sandboxes.list({});
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/** For afterAll: ends the node, and throws with what its sandboxes had left behind by then. All of them must have been deleted. */
export async function endNode(node: TestNode | undefined): Promise<void> {
  // Where it did not start, that is what fails.
  if (node === undefined) return;
  const left = node.leftovers();
  await node[Symbol.asyncDispose]();
  if (left.length > 0) throw new Error(`left behind:\n${left.join("\n")}`);
}
