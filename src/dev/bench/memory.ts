/** How much memory processes take. */

import { readdirSync, readFileSync } from "node:fs";

/** Resident bytes, shared pages counted in full. */
export function residentBytes(pid: number): number {
  return kilobytes(readFileSync(`/proc/${pid}/status`, "utf8"), "VmRSS") * 1024;
}

/** Bytes of every process that is called `name` and whose command names the folder: each page divided by those who share it. */
export function proportionalBytes(name: string, dir: string): number[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      if (!/^\d+$/.test(pid) || readFileSync(`/proc/${pid}/comm`, "utf8").trim() !== name) return [];
      if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(`${dir}/`)) return [];
      return [kilobytes(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"), "Pss") * 1024];
    } catch {
      return []; // it ended between the two looks
    }
  });
}

function kilobytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]);
}
