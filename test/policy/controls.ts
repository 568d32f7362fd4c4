/** For every control of the Pod Security Standards what it must admit and what not, written from the standards and not from the code. */

import { CONTAINER_LISTS } from "./pods.ts";

export interface ControlCase {
  readonly level: "baseline" | "restricted";
  readonly control: string;
  readonly fields: readonly string[];
  readonly good: readonly unknown[];
  readonly bad: readonly unknown[];
}

const each = (field: string): string[] => CONTAINER_LISTS.map((list) => `${list}[0].${field}`);
const all = (field: string): string[] => [`spec.${field}`, ...each(field)];

const CAPABILITIES =
  "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT".split(" ");

const SYSCTLS = `kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.ip_unprivileged_port_start net.ipv4.tcp_syncookies
  net.ipv4.ping_group_range net.ipv4.ip_local_reserved_ports net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout
  net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes net.ipv4.tcp_rmem net.ipv4.tcp_wmem
  net.ipv4.tcp_slow_start_after_idle net.ipv4.tcp_notsent_lowat`.split(/\s+/);

const HANDLERS = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];

/** Types of volumes that only come by way of a claim, and the one that is the host. */
const VOLUMES =
  `hostPath gcePersistentDisk awsElasticBlockStore gitRepo nfs iscsi glusterfs rbd flexVolume cinder cephfs flocker fc azureFile
  vsphereVolume quobyte azureDisk portworxVolume photonPersistentDisk scaleIO storageos oneOfTomorrow`.split(/\s+/);
const CLAIMED_VOLUMES = "configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret".split(" ");

export const BASELINE_CASES: readonly ControlCase[] = [
  {
    level: "baseline",
    control: "HostProcess",
    fields: all("securityContext.windowsOptions.hostProcess"),
    good: [undefined, null, false],
    bad: [true, "true"],
  },
  {
    level: "baseline",
    control: "Host Namespaces",
    fields: ["spec.hostNetwork", "spec.hostPID", "spec.hostIPC"],
    good: [undefined, null, false],
    bad: [true, "false"],
  },
  {
    level: "baseline",
    control: "Privileged Containers",
    fields: each("securityContext.privileged"),
    good: [undefined, null, false],
    bad: [true, 1],
  },
  {
    level: "baseline",
    control: "Capabilities",
    fields: each("securityContext.capabilities.add[0]"),
    good: CAPABILITIES,
    bad: ["NET_RAW", "NET_ADMIN", "SYS_ADMIN", "ALL", "CAP_CHOWN", "chown", " CHOWN", "", null, 1],
  },
  {
    level: "baseline",
    control: "HostPath Volumes",
    fields: ["spec.volumes[0].hostPath"],
    good: [undefined, null],
    bad: [{ path: "/" }, {}, ""],
  },
  { level: "baseline", control: "Host Ports", fields: each("ports[0].hostPort"), good: [undefined, null, 0], bad: [80, -1, "0"] },
  {
    level: "baseline",
    control: "Host Probes / Lifecycle Hooks",
    fields: HANDLERS.flatMap((handler) => [...each(`${handler}.httpGet.host`), ...each(`${handler}.tcpSocket.host`)]),
    good: [undefined, null, ""],
    bad: ["127.0.0.1", "::1", "bad.host", " "],
  },
  {
    level: "baseline",
    control: "AppArmor",
    fields: all("securityContext.appArmorProfile.type"),
    good: ["RuntimeDefault", "Localhost"],
    bad: ["Unconfined", "runtimeDefault", "", null],
  },
  {
    level: "baseline",
    control: "AppArmor",
    fields: ["metadata.annotations[container.apparmor.security.beta.kubernetes.io/app]"],
    good: [undefined, null, "", "runtime/default", "localhost/mine"],
    bad: ["unconfined", "localhost", "runtime/other", 1],
  },
  {
    level: "baseline",
    control: "SELinux",
    fields: all("securityContext.seLinuxOptions.type"),
    good: [undefined, null, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"],
    bad: ["spc_t", "unconfined_t"],
  },
  {
    level: "baseline",
    control: "SELinux",
    fields: [...all("securityContext.seLinuxOptions.user"), ...all("securityContext.seLinuxOptions.role")],
    good: [undefined, null, ""],
    bad: ["system_u"],
  },
  {
    level: "baseline",
    control: "/proc Mount Type",
    fields: each("securityContext.procMount"),
    good: [undefined, null, "Default"],
    bad: ["Unmasked", "default", ""],
  },
  {
    level: "baseline",
    control: "Seccomp",
    fields: all("securityContext.seccompProfile.type"),
    good: ["RuntimeDefault", "Localhost"],
    bad: ["Unconfined", "runtime/default", "", null],
  },
  {
    level: "baseline",
    control: "Sysctls",
    fields: ["spec.securityContext.sysctls[0].name"],
    good: SYSCTLS,
    bad: ["kernel.core_pattern", "net.ipv4.ip_forward", "net/ipv4/tcp_rmem", "", null],
  },
];

export const RESTRICTED_CASES: readonly ControlCase[] = [
  ...CLAIMED_VOLUMES.map((type) => volume(type, [undefined, null, {}], [])),
  ...VOLUMES.map((type) => volume(type, [undefined, null], [{}, { path: "/" }])),
  {
    level: "restricted",
    control: "Privilege Escalation",
    fields: each("securityContext.allowPrivilegeEscalation"),
    good: [false],
    bad: [true, undefined, null, "false", 0],
  },
  {
    level: "restricted",
    control: "Running as Non-root",
    fields: ["spec.securityContext.runAsNonRoot"],
    good: [true],
    bad: [false, "true"],
  },
  {
    level: "restricted",
    control: "Running as Non-root",
    fields: each("securityContext.runAsNonRoot"),
    good: [true, undefined, null],
    bad: [false, "true"],
  },
  {
    level: "restricted",
    control: "Running as Non-root user",
    fields: all("securityContext.runAsUser"),
    good: [1, 1000, undefined, null],
    bad: [0, -0, "0", "1000", 0.5],
  },
  {
    level: "restricted",
    control: "Seccomp",
    fields: all("securityContext.seccompProfile.type"),
    good: ["RuntimeDefault", "Localhost"],
    bad: ["Unconfined", "", null],
  },
  {
    level: "restricted",
    control: "Capabilities",
    fields: each("securityContext.capabilities.add[0]"),
    good: ["NET_BIND_SERVICE"],
    bad: [...CAPABILITIES.filter((name) => name !== "NET_BIND_SERVICE"), "CAP_NET_BIND_SERVICE", "ALL", ""],
  },
  {
    level: "restricted",
    control: "Capabilities",
    fields: each("securityContext.capabilities.drop"),
    good: [["ALL"], ["CHOWN", "ALL"]],
    bad: [undefined, null, [], ["all"], ["CAP_ALL"], CAPABILITIES, "ALL"],
  },
  {
    level: "restricted",
    control: "/proc Mount Type",
    fields: each("securityContext.procMount"),
    good: [undefined, null, "Default"],
    bad: ["Unmasked"],
  },
];

function volume(type: string, good: readonly unknown[], bad: readonly unknown[]): ControlCase {
  return { level: "restricted", control: "Volume Types", fields: [`spec.volumes[0].${type}`], good, bad };
}
