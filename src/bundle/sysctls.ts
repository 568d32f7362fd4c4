/** Kernel settings of a sandbox: which ones belong to its namespaces, and which of these harm nobody else. Pure. Rules: docs/rules.md, "Kernel settings". */

/** Written into the sandbox's namespaces before pause starts. */
export interface Sysctl {
  /** Such as net.ipv4.tcp_rmem. */
  readonly name: string;
  readonly value: string;
}

/** Those that Kubernetes (1.37) calls safe: they cannot hurt another sandbox or the node. The level baseline admits the same. */
export const SAFE_SYSCTLS: readonly string[] = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ping_group_range",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_notsent_lowat",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_slow_start_after_idle",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_wmem",
];

/** The namespace that keeps a setting for itself; undefined for one of the whole host. */
export function namespaceOf(name: string): "net" | "ipc" | undefined {
  if (name.startsWith("net.")) return "net";
  return name === "kernel.sem" || /^(kernel\.(shm|msg)|fs\.mqueue\.)/.test(name) ? "ipc" : undefined;
}
