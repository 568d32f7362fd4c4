/** Processes of the host as /proc shows them at one moment. */

import { readdirSync, readFileSync } from "node:fs";

export interface HostProcess {
  readonly pid: number;
  readonly ppid: number;
  /** Its command line in words. */
  readonly argv: readonly string[];
  /** Its group by hierarchy, named as in /proc/PID/cgroup: "memory", "cpu,cpuacct", "name=systemd", "" for v2. */
  readonly groups: ReadonlyMap<string, string>;
}

/** A bit of the kernel's flags for a process that is ending. */
const PF_EXITING = 0x4;

/** All that run; what is ending or has ended is left out. */
export function hostProcesses(): HostProcess[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const groups = readGroups(name);
      const argv = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0").slice(0, -1);
      // Looked at last: what is ending by then may have been out of its groups above.
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const [state = "", ppid = "", , , , , flags = ""] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state === "Z" || state === "X" || (Number(flags) & PF_EXITING) !== 0) return [];
      return [{ pid: Number(name), ppid: Number(ppid), argv, groups }];
    } catch {
      // It ended between the two looks.
      return [];
    }
  });
}

function readGroups(pid: string): Map<string, string> {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  return new Map(
    lines.map((line) => {
      const [, controllers = "", ...path] = line.split(":");
      return [controllers, path.join(":")] as const;
    }),
  );
}

/**
 * The monitors of containers whose files lie under `dir`, and all that descends from them: they take in the orphans among
 * their descendants, so nothing of a container's leaves this tree.
 */
export function monitorTrees(processes: readonly HostProcess[], dir: string): HostProcess[] {
  const members = new Map(processes.filter(({ argv }) => isMonitor(argv, dir)).map((process) => [process.pid, process]));
  for (let before = -1; before !== members.size; ) {
    before = members.size;
    for (const process of processes) if (members.has(process.ppid)) members.set(process.pid, process);
  }
  return [...members.values()];
}

const isMonitor = (argv: readonly string[], dir: string): boolean =>
  /(^|\/)conmon$/.test(argv[0] ?? "") && argv.some((word) => word.includes(`${dir}/`));
