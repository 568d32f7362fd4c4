/** `npm run quickstart`: a berthd in a folder of its own runs a sandbox under each runtime, shows what its processes see, and cleans up. */

import { copyFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Sandbox } from "../gen/berth/v1/sandbox_pb.js";
import { refusalOf } from "../api/client.ts";
import { paragraph } from "./quickstart/grid.ts";
import { Interrupted, interrupted } from "./quickstart/interrupt.ts";
import { readApp, readPause, readWritten } from "./quickstart/look.ts";
import { namespaceIsHeld, OwnBerthd, pinnedNamespaces } from "./quickstart/own-berthd.ts";
import {
  EXAMPLE_APPS,
  EXAMPLE_POLICY,
  exampleSpec,
  type SandboxSeen,
  type Seen,
  seenApp,
  seenTable,
  whatDiffers,
} from "./quickstart/sandbox.ts";
import { busyboxImage } from "./test-image.ts";

const WIDTH = 120;
/** For the kernel to let go of what was killed. */
const LEFT_MS = 3_000;

/** Answers what does not hold: a sentence each. */
async function quickstart(own: OwnBerthd): Promise<string[]> {
  print(`berthd runs in ${own.dir}, which is removed at the end; nothing else on this machine is touched.\n`);
  const image = await step("make an OCI image from busybox", () => busyboxImage(join(own.dir, "image")));
  await step("start berthd", () => own.start());
  // Pause's root filesystem holds nothing but pause; to look at it from inside, a static program has to be there.
  copyFileSync("/bin/busybox", join(own.paths.pauseRootfs, "busybox"));
  const { runtimeClasses } = await step("try out the runtimes that are here", () => own.node.info({}));
  const [first] = runtimeClasses;
  if (!first?.ready) return [`the default runtime class ${first?.name ?? ""} does not work here: ${first?.message ?? ""}`];
  const wrong: string[] = [];
  for (const { name, ready, message } of runtimeClasses) {
    if (ready) wrong.push(...(await showClass(own, name, image, name === first.name)).map((text) => `${name}: ${text}`));
    else print(paragraph(`\n${name}: `, `does not work here and is left out: ${message}`, WIDTH));
  }
  print("");
  await step("end berthd and remove its folder", () => own[Symbol.asyncDispose]());
  return wrong;
}

/** Runs the example under one runtime class and shows it. Answers what does not hold. */
async function showClass(own: OwnBerthd, name: string, image: string, explain: boolean): Promise<string[]> {
  print("");
  const apps = EXAMPLE_APPS.map((app) => app.name).join(", ");
  const request = { metadata: { name: `quickstart-${name}` }, spec: exampleSpec(name, image) };
  const { sandbox } = await step(`${name}: create a sandbox: pause, ${apps}`, () => own.sandboxes.create(request));
  if (!sandbox) throw new Error("berthd's answer to Create has no sandbox");
  const id = sandbox.metadata?.id ?? "";
  const seen = await step(`${name}: read what its processes see`, () => lookAt(own, sandbox));
  const namespaces = pinnedNamespaces(own.dir);
  show(sandbox, seen, explain);
  await step(`${name}: delete it`, () => own.sandboxes.delete({ id, gracePeriod: { seconds: 0n } }));
  const left = await step(`${name}: look for what is left of it`, () => leftAfterwards(own, namespaces));
  if (left.length === 0) print(`  nothing: no process, no mount, no cgroup, none of its ${namespaces.length} namespaces`);
  return [...whatDiffers(seen), ...left.map((what) => `left behind: ${what}`)];
}

async function lookAt(own: OwnBerthd, sandbox: Sandbox): Promise<SandboxSeen> {
  const id = sandbox.metadata?.id ?? "";
  const apps = new Map<string, Seen>();
  for (const { name } of EXAMPLE_APPS) apps.set(name, seenApp(readWritten(own, id, name), await readApp(own, id, name)));
  const pause = { written: readWritten(own, id, "pause"), first: await readPause(own, sandbox), child: undefined };
  return { pause, apps, warnings: sandbox.status?.warnings ?? [] };
}

function show(sandbox: Sandbox, seen: SandboxSeen, explain: boolean): void {
  const { runtime, stages = [] } = sandbox.status ?? {};
  const platform = runtime?.platform ? `, platform ${runtime.platform}` : "";
  print(`\nWhat a sandbox under ${runtime?.adapter} ${runtime?.version}${platform} asked for, what was written, and what it has`);
  print(seenTable(seen));
  if (explain) {
    print("How to read it: written means the bounding, effective, inheritable and permitted sets alike. Inside is what the kernel");
    print("says in /proc/PID/status: each app printed its own as PID 1 and as a program that it exec'ed; pause was looked at.");
  }
  print(
    paragraph(
      "Stages:  ",
      stages
        .map(({ name, duration }) => `${name} ${milliseconds(duration)}`)
        .join(", ")
        .concat(" (ms)"),
      WIDTH,
    ),
  );
  for (const warning of seen.warnings) print(paragraph("Warning: ", warning, WIDTH));
  print("");
}

async function leftAfterwards(own: OwnBerthd, namespaces: readonly string[]): Promise<string[]> {
  for (const deadline = Date.now() + LEFT_MS; ; await sleep(50)) {
    const left = [...own.leftovers(), ...namespaces.filter(namespaceIsHeld).map((name) => `namespace ${name}`)];
    if (left.length === 0 || Date.now() > deadline) return left;
  }
}

/** Says what it does before it does it, and afterwards how long it took. */
async function step<T>(what: string, act: () => T | Promise<T>): Promise<T> {
  process.stdout.write(`${what} ...`.padEnd(72));
  const started = performance.now();
  try {
    const result = await act();
    print(`${`${Math.round(performance.now() - started)}`.padStart(7)} ms`);
    return result;
  } catch (error) {
    print(" failed");
    throw error;
  }
}

function milliseconds(duration: Duration | undefined): string {
  const value = Number(duration?.seconds ?? 0n) * 1000 + (duration?.nanos ?? 0) / 1e6;
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function explain(error: unknown): string {
  const refusal = refusalOf(error);
  if (!refusal) return error instanceof Error ? error.message : String(error);
  const where =
    refusal.stage === "" ? "" : ` (stage ${refusal.stage}${refusal.container === "" ? "" : `, container ${refusal.container}`})`;
  return `berthd refused, ${refusal.code}${where}: ${refusal.message}${refusal.logTail === "" ? "" : `\n${refusal.logTail}`}`;
}

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) {
    process.stderr.write("quickstart needs root: berthd makes mounts, namespaces and control groups\n");
    return 1;
  }
  const started = performance.now();
  const interrupt = interrupted();
  try {
    await using own = new OwnBerthd({ policy: EXAMPLE_POLICY });
    const wrong = await Promise.race([quickstart(own), interrupt]);
    for (const text of wrong) process.stderr.write(`WRONG: ${text}\n`);
    if (wrong.length > 0) return 1;
  } catch (error) {
    process.stderr.write(`\nquickstart: ${explain(error)}\n`);
    return error instanceof Interrupted ? 128 + constants.signals[error.signal] : 1;
  }
  print(`\nAll as it must be, in ${((performance.now() - started) / 1000).toFixed(1)} s. What next:`);
  print("  README.md               what berth is, how to call it, what a node needs");
  print("  npx berth run -f FILE   run a sandbox of your own (a berth Sandbox or a Kubernetes Pod) on a running berthd");
  print("  npm test                every check and test, on real runtimes");
  return 0;
}

// What an interrupt has left waiting must not hold the end up.
process.exit(await main());
