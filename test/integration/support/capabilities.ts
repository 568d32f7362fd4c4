/** Capability masks as the kernel prints them, from numbers written down here and not taken from the code under test (capabilities(7)). */

const BITS = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
  SYS_CHROOT: 18,
  SYS_ADMIN: 21,
  SYS_NICE: 23,
  SYS_RESOURCE: 24,
  SYS_TIME: 25,
  MKNOD: 27,
  AUDIT_WRITE: 29,
} as const;

export type CapabilityName = keyof typeof BITS;
export const isCapabilityName = (name: string): name is CapabilityName => Object.hasOwn(BITS, name);

export const NO_CAPABILITIES = "0000000000000000";
/** All 41 that Linux has since 5.9. */
export const ALL_CAPABILITIES = "000001ffffffffff";

/** The mask of these capabilities, in the form of /proc/PID/status. */
export function mask(...names: readonly CapabilityName[]): string {
  const bits = names.reduce((sum, name) => sum | (1n << BigInt(BITS[name])), 0n);
  return bits.toString(16).padStart(16, "0");
}

/** What every container has when nothing is asked for, and what pause always has. */
export const DEFAULT_NAMES: readonly CapabilityName[] = ["AUDIT_WRITE", "KILL", "NET_BIND_SERVICE"];

/** The mask of the default set and these. */
export const defaultAnd = (...names: readonly CapabilityName[]): string => mask(...DEFAULT_NAMES, ...names);

/** Whether a mask has the capability, named as in a report: CAP_NET_RAW. */
export function hasCapability(hex: string, name: string): boolean {
  const bit = BITS[name.replace(/^CAP_/, "") as CapabilityName];
  if (bit === undefined) throw new Error(`${name} has no number in this file`);
  return ((BigInt(`0x${hex}`) >> BigInt(bit)) & 1n) === 1n;
}

/** The names in a mask for people: "default" stands for the default set, "none" for nothing. */
export function describeMask(hex: string): string {
  const names = (Object.keys(BITS) as CapabilityName[]).filter((name) => hasCapability(hex, name));
  if (mask(...names) !== hex) throw new Error(`${hex} has bits without a name in this file`);
  const withDefault = DEFAULT_NAMES.every((name) => names.includes(name));
  const listed = withDefault ? ["default", ...names.filter((name) => !DEFAULT_NAMES.includes(name))] : names;
  return listed.join(" ") || "none";
}
