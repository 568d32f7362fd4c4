/** /etc/hosts of the apps, where the sandbox has hostAliases. Without these the image's stays. Pure. */

import type { SandboxRequest, SandboxSpec } from "../sandbox/spec.ts";
import type { OciMount } from "./oci.ts";

export const HOSTS_PATH = "/etc/hosts";

export function needsHostsFile({ hostAliases }: SandboxSpec): boolean {
  return hostAliases.length > 0;
}

export function hostnameOf({ metadata, spec }: SandboxRequest): string {
  return spec.hostname || metadata.name;
}

/** As Kubernetes writes it, but that the sandbox has no address other than loopback. */
export function hostsText(hostname: string, { hostAliases }: SandboxSpec): string {
  const line = (ip: string, ...names: readonly string[]): string => [ip, ...names].join("\t");
  return [
    "# Written by berth for this sandbox.",
    line("127.0.0.1", "localhost"),
    line("::1", "localhost", "ip6-localhost", "ip6-loopback"),
    line("fe00::0", "ip6-localnet", "ip6-mcastprefix"),
    line("fe00::1", "ip6-allnodes"),
    line("fe00::2", "ip6-allrouters"),
    line("127.0.0.1", hostname),
    "",
    "# From hostAliases.",
    ...hostAliases.map(({ ip, hostnames }) => line(ip, ...hostnames)),
    "",
  ].join("\n");
}

/** Stands behind all other mounts: the file may lie in a volume, and no volume in or over it. */
export function hostsMounts(spec: SandboxSpec, source: string): OciMount[] {
  if (!needsHostsFile(spec)) return [];
  return [{ destination: HOSTS_PATH, type: "bind", source, options: ["rbind", "ro", "rprivate"] }];
}
