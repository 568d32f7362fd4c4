/** The cases of the matrix: what is asked for, and which readings from inside tell what became of it. Pure; the page is made from it too. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  AmbientMode,
  type SandboxSecurityContextSchema,
  SeccompProfileType,
  type SecurityContextSchema,
  SupplementalGroupsPolicy,
} from "../../../src/gen/berth/v1/sandbox_pb.js";

export interface GrantCase {
  /** Name of its container too. */
  readonly name: string;
  readonly what: string;
  readonly securityContext: MessageInitShape<typeof SecurityContextSchema>;
  /** The sandbox's own; cases with the same object share a sandbox. */
  readonly sandbox?: MessageInitShape<typeof SandboxSecurityContextSchema>;
  /** USER of the image. */
  readonly imageUser?: string;
  /** What the table has beside the user and the capabilities: names of test/fixtures/effects, "ambient" and "seccomp". */
  readonly shows: readonly string[];
}

const AS_1000 = { runAsUser: 1000n, runAsGroup: 1000n } as const;
const RUNTIME_DEFAULT = { type: SeccompProfileType.RUNTIME_DEFAULT };
const MERGE = { runAsUser: 1000n, supplementalGroups: [77n, 5n] };
const STRICT = { supplementalGroups: [5n], supplementalGroupsPolicy: SupplementalGroupsPolicy.STRICT };

/** Of the node's profile folder; it refuses mkdir. */
export const DENY_MKDIR = "deny-mkdir.json";

export const GRANTS: readonly GrantCase[] = [
  {
    name: "nothing",
    what: "nothing asked for",
    securityContext: {},
    shows: [
      "NET_BIND_SERVICE",
      "NET_ADMIN",
      "NET_RAW",
      "MKNOD",
      "SYS_NICE",
      "new-netns",
      "new-userns",
      "new-userns-by-clone3",
      "use-keyring",
      "no-new-privs",
      "umask",
      "seccomp",
    ],
  },
  {
    name: "adds-root",
    what: "adds as root, in three spellings",
    securityContext: { capabilities: { add: ["NET_ADMIN", "CAP_SETUID", "setgid", "SYS_ADMIN"] } },
    shows: ["NET_ADMIN", "SETUID", "SETGID", "SYS_ADMIN", "new-netns"],
  },
  {
    name: "adds-1000",
    what: "adds as uid 1000 without ambient: cleared by execve",
    securityContext: { ...AS_1000, capabilities: { add: ["NET_ADMIN", "SETUID", "SETGID"] } },
    shows: ["NET_ADMIN", "SETUID", "SETGID"],
  },
  {
    name: "ambient-auto",
    what: "adds as uid 1000 with ambient auto",
    securityContext: { ...AS_1000, capabilities: { add: ["NET_ADMIN", "CHOWN"], ambientMode: AmbientMode.AUTO } },
    shows: ["ambient", "NET_ADMIN", "CHOWN"],
  },
  {
    name: "ambient-list",
    what: "adds as uid 1000 of which a list is ambient",
    securityContext: {
      ...AS_1000,
      capabilities: { add: ["NET_ADMIN", "CHOWN"], ambientMode: AmbientMode.LIST, ambient: ["CHOWN", "KILL"] },
    },
    shows: ["ambient", "NET_ADMIN", "CHOWN"],
  },
  {
    name: "ambient-root",
    what: "ambient auto as root: nothing is ambient, everything is there",
    securityContext: { capabilities: { add: ["NET_ADMIN"], ambientMode: AmbientMode.AUTO } },
    shows: ["ambient", "NET_ADMIN"],
  },
  {
    name: "drop-all",
    what: "drop ALL",
    securityContext: { capabilities: { drop: ["ALL"] } },
    shows: ["NET_BIND_SERVICE"],
  },
  {
    name: "drop-all-add-one",
    what: "drop ALL and one add",
    securityContext: { capabilities: { drop: ["ALL"], add: ["CHOWN"] } },
    shows: ["CHOWN", "NET_BIND_SERVICE"],
  },
  {
    name: "drop-one",
    what: "a drop beats an add of the same name and takes from the default set",
    securityContext: { capabilities: { drop: ["KILL", "SETPCAP"], add: ["SETPCAP", "CHOWN"] } },
    shows: ["CHOWN", "SETPCAP"],
  },
  {
    // Its neighbours, of which none asks for it, show that runsc's flag for the whole sandbox gives it to nobody else.
    name: "net-raw",
    what: "NET_RAW as root",
    securityContext: { capabilities: { add: ["NET_RAW"] } },
    shows: ["NET_RAW"],
  },
  {
    name: "many",
    what: "adds that the other cases do not have",
    securityContext: { capabilities: { add: ["CHOWN", "DAC_OVERRIDE", "SETPCAP", "SYS_CHROOT", "MKNOD"] } },
    shows: ["CHOWN", "DAC_OVERRIDE", "SETPCAP", "SYS_CHROOT", "MKNOD"],
  },
  {
    name: "uid-alone",
    what: "a uid alone takes gid and groups from the image",
    securityContext: { runAsUser: 1000n },
    shows: ["NET_BIND_SERVICE"],
  },
  { name: "image-user", what: "the image's USER by name, with its groups", securityContext: {}, imageUser: "app", shows: [] },
  {
    name: "image-user-group",
    what: "the image's USER with a group, both by name",
    securityContext: {},
    imageUser: "nobody:staff",
    shows: [],
  },
  {
    name: "over-image-user",
    what: "the request's user 0 over the image's USER",
    securityContext: { runAsUser: 0n },
    imageUser: "app",
    shows: [],
  },
  {
    name: "groups-merge",
    what: "the sandbox's user and supplementary groups, with those of the image's /etc/group",
    securityContext: {},
    sandbox: MERGE,
    shows: ["read-as-group-77"],
  },
  {
    name: "groups-root",
    what: "the sandbox's supplementary groups, with a user and group of the container's own",
    securityContext: { runAsUser: 0n, runAsGroup: 9n },
    sandbox: MERGE,
    shows: ["read-as-group-77"],
  },
  {
    name: "groups-strict",
    what: "supplementary groups with Strict, which leaves the image's out",
    securityContext: AS_1000,
    sandbox: STRICT,
    shows: ["read-as-group-77"],
  },
  {
    name: "read-only-root",
    what: "readOnlyRootFilesystem; a tmpfs stays writable",
    securityContext: { readOnlyRootFilesystem: true },
    shows: ["write-root", "mkdir"],
  },
  {
    name: "writable-root",
    what: "readOnlyRootFilesystem: false",
    securityContext: { readOnlyRootFilesystem: false },
    shows: ["write-root"],
  },
  {
    name: "no-escalation",
    what: "allowPrivilegeEscalation: false as uid 1000",
    securityContext: { ...AS_1000, allowPrivilegeEscalation: false },
    shows: ["setuid-program", "no-new-privs"],
  },
  {
    name: "escalation",
    what: "allowPrivilegeEscalation: true as uid 1000",
    securityContext: { ...AS_1000, allowPrivilegeEscalation: true },
    shows: ["setuid-program", "no-new-privs"],
  },
  { name: "umask", what: "umask 0027", securityContext: { umask: 0o27 }, shows: ["umask"] },
  {
    name: "seccomp-default",
    what: "seccomp RuntimeDefault",
    securityContext: { seccompProfile: RUNTIME_DEFAULT },
    shows: ["seccomp", "new-userns", "new-userns-by-clone3", "use-keyring", "mkdir", "NET_BIND_SERVICE"],
  },
  {
    name: "seccomp-default-adds",
    what: "seccomp RuntimeDefault gives way to capabilities",
    securityContext: { seccompProfile: RUNTIME_DEFAULT, capabilities: { add: ["SYS_ADMIN", "SYS_CHROOT"] } },
    shows: ["seccomp", "SYS_ADMIN", "SYS_CHROOT", "new-netns", "new-userns-by-clone3", "use-keyring"],
  },
  {
    name: "seccomp-localhost",
    what: "a seccomp profile of the node that refuses mkdir",
    securityContext: { seccompProfile: { type: SeccompProfileType.LOCALHOST, localhostProfile: DENY_MKDIR } },
    shows: ["seccomp", "mkdir", "use-keyring"],
  },
  {
    name: "seccomp-unconfined",
    what: "seccomp Unconfined",
    securityContext: { seccompProfile: { type: SeccompProfileType.UNCONFINED } },
    shows: ["seccomp", "new-userns", "use-keyring"],
  },
  {
    name: "restricted",
    what: "all that the level restricted asks for, and a read-only root",
    securityContext: {
      ...AS_1000,
      runAsNonRoot: true,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: RUNTIME_DEFAULT,
    },
    shows: ["write-root", "mkdir", "setuid-program", "no-new-privs", "seccomp", "new-userns", "use-keyring"],
  },
  {
    // Root that no permission of a file stops, only what masks.
    name: "masked-paths",
    what: "masked and read-only paths, for root with DAC_OVERRIDE",
    securityContext: { capabilities: { add: ["DAC_OVERRIDE"] } },
    shows: ["open-core-pattern", "read-interrupts"],
  },
];

/** The capabilities that a policy supervisor inside a container was measured to need. */
export const SUPERVISOR_NEEDS = ["SYS_ADMIN", "NET_ADMIN", "CHOWN", "SETUID", "SETGID", "SETPCAP"] as const;

export interface SupervisorCase {
  readonly name: string;
  readonly what: string;
  readonly add: readonly string[];
}

export const SUPERVISORS: readonly SupervisorCase[] = [
  { name: "supervisor", what: "a policy supervisor with all six", add: SUPERVISOR_NEEDS },
  ...SUPERVISOR_NEEDS.map((missing) => ({
    name: `no-${missing.toLowerCase().replace("_", "-")}`,
    what: `a policy supervisor without ${missing}`,
    add: SUPERVISOR_NEEDS.filter((name) => name !== missing),
  })),
];
