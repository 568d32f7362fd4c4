import { readFileSync } from "node:fs";

/** A unit file as a list, since systemd lets a directive stand more than once. */
export interface Directive {
  readonly section: string;
  readonly name: string;
  readonly value: string;
}

/** Parses a unit file; lines that end in a backslash go on in the next. */
export function parseUnit(text: string): Directive[] {
  let section = "";
  const directives: Directive[] = [];
  for (const line of text.replaceAll(/\\\n/g, " ").split("\n")) {
    const heading = /^\[(.+)\]$/.exec(line.trim())?.[1];
    const [, name, value] = /^([A-Za-z]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (heading !== undefined) section = heading;
    else if (name !== undefined) directives.push({ section, name, value: value?.trim() ?? "" });
    else if (!/^\s*([#;].*)?$/.test(line)) throw new Error(`not a line of a unit: ${line}`);
  }
  return directives;
}

/**
 * Arguments that start a program with what it would inherit from systemd under this unit: its rlimits, bounding set and
 * no_new_privs. A limit that is above the hard limit of this process is left at that: not every root may raise it.
 */
export function launchPrefix(unit: readonly Directive[], hardLimits: ReadonlyMap<string, number> = ownHardLimits()): string[] {
  const limits = unit.flatMap(({ name, value }) => (name.startsWith("Limit") ? [limitArgument(name, value, hardLimits)] : []));
  return ["prlimit", ...limits, "setpriv", ...privileges(unit)];
}

function limitArgument(name: string, value: string, hardLimits: ReadonlyMap<string, number>): string {
  const resource = name.slice("Limit".length).toLowerCase();
  const own = hardLimits.get(resource) ?? Infinity;
  const [soft = "", hard = soft] = value.split(":");
  const within = (text: string): string => {
    const asked = text === "infinity" ? Infinity : Number(text);
    if (Number.isNaN(asked)) throw new Error(`${name}=${value}: only plain numbers and infinity are understood here`);
    const given = Math.min(asked, own);
    return given === Infinity ? "unlimited" : String(given);
  };
  return `--${resource}=${within(soft)}:${within(hard)}`;
}

/** setpriv wants at least one option, and keeping the group as it is changes nothing. */
function privileges(unit: readonly Directive[]): string[] {
  const bounding = unit.filter(({ name }) => name === "CapabilityBoundingSet").map(({ value }) => boundingArgument(value));
  const noNewPrivileges = unit.some(({ name, value }) => name === "NoNewPrivileges" && /^(yes|true|on|1)$/i.test(value));
  return ["--keep-groups", ...bounding, ...(noNewPrivileges ? ["--no-new-privs"] : [])];
}

function boundingArgument(value: string): string {
  const names = value
    .replace(/^~/, "")
    .split(/\s+/)
    .filter((name) => name !== "")
    .map((name) => name.toLowerCase().replace(/^cap_/, ""));
  const start = value.startsWith("~") ? "+all" : "-all";
  return `--bounding-set=${[start, ...names.map((name) => `${value.startsWith("~") ? "-" : "+"}${name}`)].join(",")}`;
}

/** Names as in Limit*= without the word, in lower case → this process's hard limit. */
function ownHardLimits(): Map<string, number> {
  const names: Record<string, string> = {
    "Max open files": "nofile",
    "Max processes": "nproc",
    "Max core file size": "core",
    "Max locked memory": "memlock",
  };
  const lines = readFileSync("/proc/self/limits", "utf8").split("\n");
  const rows = lines.map((line) => /^(.+?)\s{2,}(\S+)\s+(\S+)/.exec(line) ?? []);
  return new Map(
    rows.flatMap(([, title = "", , hard = ""]) =>
      names[title] === undefined ? [] : [[names[title], hard === "unlimited" ? Infinity : Number(hard)] as const],
    ),
  );
}
