/** Further names that every app of a sandbox knows hosts by. Name and meaning are those of Kubernetes. Pure. */

import { isIP } from "node:net";
import * as z from "zod";
import { cleanPath, liesBelow } from "../bundle/destinations.ts";
import { HOSTS_PATH } from "../bundle/hosts.ts";
import { isDnsLabel, rule } from "./texts.ts";

export interface HostAlias {
  /** IPv4 or IPv6, without a zone. */
  readonly ip: string;
  /** At least one. */
  readonly hostnames: readonly string[];
}

const MAX_ALIASES = 256;
const MAX_HOSTNAMES = 64;
const MAX_DNS_NAME = 253;

const ip = rule(
  (address) => isIP(address) !== 0 && !address.includes("%"),
  "is not an IP address",
  "an IPv4 or IPv6 address without a zone, such as 10.0.0.5 or fd00::5",
)(z.string());
const hostname = rule(
  (name) => name.length <= MAX_DNS_NAME && name.split(".").every(isDnsLabel),
  "is not a DNS name",
  `labels of 1 to 63 lower-case letters, digits and '-', joined by dots, at most ${MAX_DNS_NAME} characters`,
)(z.string());
const hostnames = z
  .array(hostname)
  .min(1, { error: "is empty" })
  .max(MAX_HOSTNAMES, { error: `has more than ${MAX_HOSTNAMES} entries` });

export const hostAliases = z.array(z.strictObject({ ip, hostnames })).max(MAX_ALIASES, { error: `has more than ${MAX_ALIASES} entries` });

/** Whether a mount would be in the way of the file with the aliases. Any text. */
export function hidesHosts(mountPath: string): boolean {
  const path = cleanPath(mountPath);
  return path === HOSTS_PATH || liesBelow(path, HOSTS_PATH);
}
