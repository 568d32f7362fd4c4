/** /proc/PID/status, read inside a sandbox by the very process that it is about. */

export interface ProcessStatus {
  readonly name: string;
  readonly pid: number;
  readonly ppid: number;
  /** Real, effective, saved, file system. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  /** Supplementary, ascending. */
  readonly groups: readonly number[];
  /** Masks of 16 hex digits. Ambient is undefined where the kernel does not print it: runsc before 2026. */
  readonly capabilities: {
    readonly inheritable: string;
    readonly permitted: string;
    readonly effective: string;
    readonly bounding: string;
    readonly ambient: string | undefined;
  };
  /** 0 without a filter, 2 with one. */
  readonly seccomp: number;
  /** The pid in each pid namespace, outermost first; empty where the kernel does not print it: gVisor. */
  readonly namespacePids: readonly number[];
}

export function parseStatus(text: string): ProcessStatus {
  const fields = new Map(text.split("\n").flatMap((line) => (line.includes(":") ? [splitField(line)] : [])));
  const need = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined) throw new Error(`no ${name} in this status:\n${text}`);
    return value;
  };
  const numbers = (value: string): number[] => value.split(/\s+/).filter(Boolean).map(Number);
  return {
    name: need("Name"),
    pid: Number(need("Pid")),
    ppid: Number(need("PPid")),
    uids: numbers(need("Uid")),
    gids: numbers(need("Gid")),
    groups: numbers(need("Groups")).sort((a, b) => a - b),
    capabilities: {
      inheritable: need("CapInh"),
      permitted: need("CapPrm"),
      effective: need("CapEff"),
      bounding: need("CapBnd"),
      ambient: fields.get("CapAmb"),
    },
    seccomp: Number(need("Seccomp")),
    namespacePids: numbers(fields.get("NSpid") ?? ""),
  };
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}

/**
 * A script for an app's shell that prints its own status as PID 1 (the shell reads it itself: a builtin under a redirection does not
 * fork), that of a child that it exec'ed, its pid namespace and its kernel. `true` at the end keeps the shell from exec'ing the last one.
 */
const TELL = `while read -r line; do echo "$line"; done </proc/self/status
  echo --; /bin/cat /proc/self/status
  echo --; /bin/readlink /proc/self/ns/pid
  echo --; /bin/cat /proc/version
  true`;
export const TELL_STATUS: readonly string[] = ["/bin/sh", "-c", TELL];
/** The same, then another program. */
export const tellStatusAnd = (program: string): string[] => ["/bin/sh", "-c", `${TELL}; echo --; ${program}; true`];

export interface ToldStatus {
  readonly init: ProcessStatus;
  readonly child: ProcessStatus;
  /** pid:[INODE] */
  readonly pidNamespace: string;
  /** /proc/version */
  readonly kernel: string;
  /** Output of the program that came after. */
  readonly after: string;
}

/** Reads what TELL_STATUS or tellStatusAnd printed. */
export function parseTold(output: string): ToldStatus {
  const [init = "", child = "", pidNamespace = "", kernel = "", after = ""] = output.split("\n--\n");
  return { init: parseStatus(init), child: parseStatus(child), pidNamespace: pidNamespace.trim(), kernel: kernel.trim(), after };
}
