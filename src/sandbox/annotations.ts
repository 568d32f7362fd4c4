/** Annotations of a sandbox: which keys nobody may use. Pure. Rules: docs/rules.md, "Annotations". */

/** What runtimes and engines read settings from: through some, a container's author could open the host's sockets to it. */
export const RESERVED_PREFIXES = [
  "dev.gvisor.",
  "dev.berth.",
  "io.kubernetes.cri.",
  "io.kubernetes.cri-o.",
  "org.systemd.property.",
  "io.katacontainers.",
  "run.oci.",
] as const;

/** How Pods asked for AppArmor, seccomp and sysctls before these had fields. */
const OLD_SECURITY = /(^|\.)security\.(alpha|beta)\.kubernetes\.io\//;

export type AnnotationFault = "reserved" | "old security setting";

export function annotationFault(key: string): AnnotationFault | undefined {
  if (RESERVED_PREFIXES.some((prefix) => key.startsWith(prefix))) return "reserved";
  return OLD_SECURITY.test(key) ? "old security setting" : undefined;
}
