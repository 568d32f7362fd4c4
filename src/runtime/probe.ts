/** What a runtime binary is and can do on this node: its version, and a trial of a tiny bundle. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { basename, join } from "node:path";
import { baselineMounts } from "../bundle/baseline.ts";
import { configJson } from "../bundle/oci.ts";
import { pauseProcess } from "../bundle/pause.ts";
import { RENDER_TRAITS } from "../bundle/render.ts";
import type { EnforcementTraits } from "../bundle/enforcement.ts";
import { BerthError } from "../errors.ts";
import type { Cgroups } from "../host/cgroups.ts";
import { CommandError, type CommandResult, runCommand } from "../host/command.ts";
import { listMounts, unmount } from "../host/mounts.ts";
import { killProcess, processesNaming } from "../host/processes.ts";
import { hideUnifiedCgroup } from "./crun.ts";
import type { AdapterName, RuntimeTraits } from "./runtime.ts";

const VERSION_TIMEOUT_MS = 5_000;
/** kvm can hang for ever; a trial takes a fifth of a second. */
const TRIAL_TIMEOUT_MS = 10_000;
const OLDEST_RUNSC = 2024_01_01;
/** From this release on runsc passes ambient capabilities on. */
const AMBIENT_RUNSC = 2026_06_01;
/** From this release on runsc honours umask, and lets setuid programs gain privileges when it is told to. */
const UMASK_RUNSC = 2026_01_01;

/** A release of 2024 filters a container's own processes only, one of 2026 also those that exec brings into it. */
const EXEC_SECCOMP_RUNSC = 2026_01_01;
/** Major and minor version from which on a runtime knows the mount option rro. Older ones take no notice of it. */
const RECURSIVE_READ_ONLY = { runc: [1, 1], crun: [1, 8] } as const;

export interface Probe {
  readonly version: string;
  readonly platform: string;
  readonly traits: RuntimeTraits;
}

export interface ProbeInput {
  readonly adapter: AdapterName;
  readonly binary: string;
  readonly flags: readonly string[];
  /** Root filesystem with the pause program, for the trial. */
  readonly pauseRootfs: string;
  /** Folder for the trial's files. */
  readonly dir: string;
  readonly cgroups: Cgroups;
  /** Group of all sandboxes. */
  readonly cgroupRoot: string;
}

/** Throws RuntimeUnusable with the reason when the binary is missing, too old or does not work here. */
export async function probeRuntime(input: ProbeInput): Promise<Probe> {
  const version = await readVersion(input.binary);
  if (input.adapter === "runsc") checkRunscAge(version, input.binary);
  const platform =
    input.adapter === "runsc" ? (input.flags.find((flag) => flag.startsWith("--platform="))?.split("=")[1] ?? "systrap") : "";
  const declared = traitsOfVersion(input.adapter, version);
  const setuid = declared.setuid && (input.adapter !== "runsc" || (await hasFlag(input.binary, "allow-suid")));
  return { version, platform, traits: { ...declared, setuid, ...(await tryOut(input, platform)) } };
}

/** What a runtime of this version can do, also when the version is only declared. */
export function traitsOfVersion(adapter: AdapterName, version: string): EnforcementTraits {
  const date = adapter === "runsc" ? (releaseDate(version) ?? 0) : Infinity;
  return {
    ambient: date >= AMBIENT_RUNSC,
    umask: date >= UMASK_RUNSC,
    setuid: date >= UMASK_RUNSC,
    execSeccomp: date >= EXEC_SECCOMP_RUNSC,
    recursiveReadOnly: adapter === "runsc" || isAtLeast(version, RECURSIVE_READ_ONLY[adapter]),
  };
}

/** Of versions such as 1.1.5 or 1.2.0-rc.1; one that is not said is taken for a current one. */
function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [, ours = "", rest = ""] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return ours === "" || Number(ours) > major || (Number(ours) === major && Number(rest) >= minor);
}

/** Whether runsc knows a flag: it tells by `runsc flags`, and refuses to start with one that it does not know. */
async function hasFlag(binary: string, flag: string): Promise<boolean> {
  const { stdout, stderr } = await runOrExplain([binary, "flags"], VERSION_TIMEOUT_MS);
  return new RegExp(`^\\s*-${flag}(?![-\\w])`, "m").test(`${stdout}${stderr}`);
}

/** The date in a runsc version such as release-20260905.0 or 0.0~20240729, as a number. */
export function releaseDate(version: string): number | undefined {
  const date = /(?<!\d)(20\d{6})(?!\d)/.exec(version)?.[1];
  return date === undefined ? undefined : Number(date);
}

function checkRunscAge(version: string, binary: string): void {
  const date = releaseDate(version);
  if (date === undefined)
    throw new BerthError(
      "RuntimeUnusable",
      `${binary} reports the version ${JSON.stringify(version)}, which has no date: use a release build of runsc`,
    );
  if (date >= OLDEST_RUNSC) return;
  throw new BerthError(
    "RuntimeUnusable",
    `${binary} is runsc of ${date}; berth needs one of 2024 or newer (Debian 12 has one in bookworm-backports)`,
  );
}

async function readVersion(binary: string): Promise<string> {
  const result = await runOrExplain([binary, "--version"], VERSION_TIMEOUT_MS);
  // "runsc version X", "runc version X", "crun version X"
  const version = /version (\S+)/.exec(result.stdout)?.[1];
  if (result.exitCode === 0 && version !== undefined) return version;
  const said = result.timedOut
    ? `it did not end within ${VERSION_TIMEOUT_MS} ms`
    : (result.stderr || result.stdout).trim().slice(-300) || `it ended with ${result.exitCode}`;
  throw new BerthError("RuntimeUnusable", `${binary} --version does not answer like an OCI runtime: ${said}`);
}

async function runOrExplain(argv: string[], timeoutMs: number): Promise<CommandResult> {
  try {
    return await runCommand(argv, { timeoutMs });
  } catch (error) {
    if (error instanceof CommandError) throw new BerthError("RuntimeUnusable", error.message, { cause: error });
    throw error;
  }
}

type TrialTraits = Pick<RuntimeTraits, "ignoreCgroups" | "hideUnifiedCgroup">;

/** Runs the pause program once; where cgroups are in the way, once more in the way that avoids them. */
async function tryOut(input: ProbeInput, platform: string): Promise<TrialTraits> {
  const plain: TrialTraits = { ignoreCgroups: false, hideUnifiedCgroup: false };
  const first = await trial(input, platform, plain);
  if (first === undefined) return plain;
  const second = input.adapter === "runsc" ? { ...plain, ignoreCgroups: true } : { ...plain, hideUnifiedCgroup: true };
  const worthIt = /cgroup/i.test(first) && (input.adapter === "runsc" || (input.adapter === "crun" && input.cgroups.layout === "hybrid"));
  const why = worthIt ? await trial(input, platform, second) : first;
  if (why === undefined) return second;
  throw new BerthError("RuntimeUnusable", `${input.binary} cannot run a container on this node: ${why}`);
}

/** Runs a container that ends at once. Answers nothing when it worked, else why not. */
async function trial(input: ProbeInput, platform: string, traits: TrialTraits): Promise<string | undefined> {
  mkdirSync(input.dir, { recursive: true, mode: 0o700 });
  const dir = mkdtempSync(join(input.dir, "probe-"));
  const id = randomBytes(16).toString("hex");
  const cgroup = trialCgroup(input, dir);
  try {
    input.cgroups.create(cgroup);
    writeFileSync(join(dir, "config.json"), trialConfig(input, traits.ignoreCgroups ? undefined : `${cgroup}/${id}`), { mode: 0o600 });
    const log = join(dir, "log");
    const result = await runOrExplain([...trialCommand(input, platform, traits, dir, log), "run", "--bundle", dir, id], TRIAL_TIMEOUT_MS);
    if (result.exitCode === 0) return undefined;
    if (result.timedOut) return `the trial did not end within ${TRIAL_TIMEOUT_MS} ms${platform === "" ? "" : ` (platform ${platform})`}`;
    return (result.stderr || result.stdout).trim().slice(-500) || `it ended with ${result.exitCode}`;
  } finally {
    await removeTrial(input, dir);
  }
}

type TrialPlaces = Pick<ProbeInput, "dir" | "cgroups" | "cgroupRoot">;

/** Named as the folder, so that one leads to the other. */
const trialCgroup = ({ cgroupRoot }: TrialPlaces, dir: string): string => `${cgroupRoot}/${basename(dir)}`;

async function removeTrial(places: TrialPlaces, dir: string): Promise<void> {
  const cgroup = trialCgroup(places, dir);
  await places.cgroups.killAll(cgroup);
  await places.cgroups.remove(cgroup);
  for (const mount of listMounts(dir)) unmount(mount);
  rmSync(dir, { recursive: true, force: true });
}

/** Removes what is left of trials whose berthd was killed. What does not go away is left: it only takes up room. */
export async function removeOldTrials(places: TrialPlaces): Promise<void> {
  const folders = existsSync(places.dir) ? readdirSync(places.dir).map((name) => join(places.dir, name)) : [];
  // The runtime's own command is in no group of the trial's.
  for (const dir of folders) for (const process of processesNaming([`${dir}/`])) killProcess(process, "SIGKILL");
  await Promise.allSettled(folders.map((dir) => removeTrial(places, dir)));
}

function trialCommand(input: ProbeInput, platform: string, traits: TrialTraits, dir: string, log: string): string[] {
  const root = join(dir, "r");
  if (input.adapter !== "runsc") return hideUnifiedCgroup(traits.hideUnifiedCgroup, [input.binary, "--root", root, "--log", log]);
  const cgroups = traits.ignoreCgroups ? ["--ignore-cgroups"] : [];
  const flags = input.flags.filter((flag) => !flag.startsWith("--platform"));
  return [
    input.binary,
    `--root=${root}`,
    `--log=${log}`,
    `--platform=${platform}`,
    "--network=none",
    "--overlay2=none",
    ...cgroups,
    ...flags,
  ];
}

function trialConfig(input: ProbeInput, cgroupsPath: string | undefined): string {
  const { isolation, leakingRlimits } = RENDER_TRAITS[input.adapter];
  return configJson({
    ociVersion: "1.0.2",
    process: { ...pauseProcess(leakingRlimits), args: ["/pause", "--version"] },
    root: { path: input.pauseRootfs, readonly: true },
    mounts: baselineMounts(isolation),
    annotations: {},
    linux: {
      ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
      resources: {},
      namespaces: [{ type: "pid" }, { type: "mount" }, { type: "network" }, { type: "ipc" }, { type: "uts" }],
    },
  });
}
