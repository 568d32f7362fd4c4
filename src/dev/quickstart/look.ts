/** Looks at a running sandbox: what was written for each container, and what its processes say of themselves. */

import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Sandbox } from "../../gen/berth/v1/sandbox_pb.js";
import { LogStream } from "../../gen/berth/v1/sandboxes_pb.js";
import type { OwnBerthd } from "./own-berthd.ts";
import { type AppReading, parseReader, parseStatus, type ProcessReading, shortName } from "./reading.ts";

const OUTPUT_MS = 20_000;
const EXEC_MS = 20_000;
const PAUSE_MS = 50;

/** The security part of config.json; names without CAP_. */
export interface Written {
  readonly uid: number;
  readonly gid: number;
  readonly sets: Readonly<Record<"bounding" | "effective" | "inheritable" | "permitted" | "ambient", readonly string[]>>;
}

export function readWritten(own: OwnBerthd, id: string, container: string): Written {
  const file = join(own.paths.bundles(id), container, "config.json");
  const { process } = JSON.parse(readFileSync(file, "utf8")) as {
    process: { user: { uid: number; gid: number }; capabilities: Record<string, string[] | undefined> };
  };
  const set = (name: string): string[] => (process.capabilities[name] ?? []).map(shortName);
  const sets = {
    bounding: set("bounding"),
    effective: set("effective"),
    inheritable: set("inheritable"),
    permitted: set("permitted"),
    ambient: set("ambient"),
  };
  return { uid: process.user.uid, gid: process.user.gid, sets };
}

/** Waits until the app has printed all of READER's output. Throws with what it printed instead. */
export async function readApp(own: OwnBerthd, id: string, container: string): Promise<AppReading> {
  for (const deadline = Date.now() + OUTPUT_MS; ; await sleep(PAUSE_MS)) {
    const output = await outputOf(own, id, container);
    const reading = parseReader(output);
    if (reading) return reading;
    if (Date.now() > deadline) throw new Error(`${container} did not say what it is within ${OUTPUT_MS} ms, but: ${output}`);
  }
}

async function outputOf(own: OwnBerthd, id: string, container: string): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const { entries } of own.sandboxes.logs({ id, container })) {
    for (const entry of entries) if (entry.stream === LogStream.STDOUT) parts.push(entry.data, Buffer.from(entry.partial ? "" : "\n"));
  }
  return Buffer.concat(parts).toString("utf8");
}

/**
 * What pause is. Under runsc a process of its own is exec'ed beside it, by the static busybox that lies in pause's root
 * filesystem, and prints /proc/1/status: the name in it proves that this is pause. Under the others the host's /proc knows.
 */
export async function readPause(own: OwnBerthd, sandbox: Sandbox): Promise<ProcessReading> {
  const id = sandbox.metadata?.id ?? "";
  const runtime = sandbox.status?.runtime;
  if (runtime?.adapter !== "runsc") {
    const pid = readFileSync(join(own.paths.container(id, id), "pid"), "utf8").trim();
    return parseStatus(readFileSync(`/proc/${pid}/status`, "utf8"));
  }
  const folder = join(own.paths.runtimes, runtime.binaryDigest.replace("sha256:", ""));
  const binary = readdirSync(folder).find((name) => name !== "gvisor-bin") ?? "runsc";
  const command = [`--root=${own.paths.runtimeRoot(id)}`, "exec", id, "/busybox", "cat", "/proc/1/status"];
  const { stdout } = await promisify(execFile)(join(folder, binary), command, { timeout: EXEC_MS });
  return parseStatus(stdout);
}
