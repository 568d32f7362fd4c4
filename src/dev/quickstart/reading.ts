/** What a process says of itself in /proc/PID/status, and whether that is what must hold. Pure. */

import { capabilitiesOfMask } from "../../bundle/capabilities.ts";

/** A process as it describes itself. */
export interface ProcessReading {
  readonly name: string;
  /** In its own pid namespace. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly sets: CapabilityReading;
}

/** Names without CAP_. Ambient is undefined where the kernel does not tell: gVisor's of 2024 knows no such set. */
export interface CapabilityReading {
  readonly inheritable: readonly string[];
  readonly permitted: readonly string[];
  readonly effective: readonly string[];
  readonly bounding: readonly string[];
  readonly ambient: readonly string[] | undefined;
}

/** Reads the text of /proc/PID/status. Throws naming a line that is missing. */
export function parseStatus(text: string): ProcessReading {
  const field = (name: string): string | undefined => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(text)?.[1]?.trim();
  const need = (name: string): string => {
    const value = field(name);
    if (value === undefined || value === "") throw new Error(`/proc/PID/status has no ${name}: ${JSON.stringify(text.slice(0, 200))}`);
    return value;
  };
  const set = (name: string): string[] => capabilitiesOfMask(need(name)).map(shortName);
  return {
    name: need("Name"),
    // NSpid is there where the host's /proc is read: its last number is the one that the process itself sees.
    pid: Number((field("NSpid") ?? need("Pid")).split(/\s+/).at(-1)),
    uid: effectiveId(need("Uid")),
    gid: effectiveId(need("Gid")),
    sets: {
      inheritable: set("CapInh"),
      permitted: set("CapPrm"),
      effective: set("CapEff"),
      bounding: set("CapBnd"),
      ambient: field("CapAmb") === undefined ? undefined : set("CapAmb"),
    },
  };
}

/** Real, effective, saved and file system id. */
function effectiveId(line: string): number {
  return Number(line.split(/\s+/)[1]);
}

export function shortName(capability: string): string {
  return capability.replace(/^CAP_/, "");
}

/** What an app must print: PID 1 by the shell's own read, which is no other process, and a child that it exec'ed. */
export const READER = [
  "echo '== first'",
  'while IFS= read -r line; do echo "$line"; done </proc/self/status',
  "echo '== child'",
  "/bin/busybox cat /proc/self/status",
  "echo '== end'",
  "exec /bin/busybox sleep 100000",
].join("\n");

export interface AppReading {
  readonly first: ProcessReading;
  readonly child: ProcessReading;
}

/** Reads what READER printed; undefined while it has not printed all. */
export function parseReader(output: string): AppReading | undefined {
  const found = /^== first\n(.*)^== child\n(.*)^== end$/ms.exec(output);
  return found ? { first: parseStatus(found[1] ?? ""), child: parseStatus(found[2] ?? "") } : undefined;
}

/** What must hold of one process. */
export interface Expected {
  readonly name: string;
  /** Undefined: any but 1. */
  readonly pid: 1 | undefined;
  readonly uid: number;
  readonly gid: number;
  readonly bounding: readonly string[];
  readonly effective: readonly string[];
}

/** A sentence for each thing that is not as it must be. */
export function differences(who: string, read: ProcessReading, expected: Expected): string[] {
  const found: string[] = [];
  const differ = (what: string, is: string, must: string): void => {
    if (is !== must) found.push(`${who}: ${what} is ${is}, must be ${must}`);
  };
  differ("the process that was read", read.name, expected.name);
  if (expected.pid === undefined ? read.pid === 1 : read.pid !== 1) found.push(`${who}: the pid that was read is ${read.pid}`);
  differ("the user", `${read.uid}:${read.gid}`, `${expected.uid}:${expected.gid}`);
  differ("the bounding set", sorted(read.sets.bounding), sorted(expected.bounding));
  differ("the effective set", sorted(read.sets.effective), sorted(expected.effective));
  differ("the permitted set", sorted(read.sets.permitted), sorted(expected.effective));
  return found;
}

function sorted(names: readonly string[]): string {
  return names.length === 0 ? "none" : [...names].sort().join(" ");
}
