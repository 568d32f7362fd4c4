/** The one interface behind which OCI runtimes differ. The adapter knows a runtime's ways, the core does not. */

import type { ProcessIdentity } from "../host/processes.ts";

export type AdapterName = "runsc" | "runc" | "crun";

/** What the probe found out about a binary on this node, as far as its adapter must act on it. */
export interface RuntimeTraits {
  /** Ambient capabilities reach an exec'ed process. */
  ambient: boolean;
  /** process.user.umask is honoured. */
  umask: boolean;
  /** A setuid program can gain privileges; runsc needs a flag for it, which older ones do not have. */
  setuid: boolean;
  /** A seccomp filter also holds for processes that are started in a container from outside. */
  execSeccomp: boolean;
  /** A mount can be read-only with all that is mounted below it. */
  recursiveReadOnly: boolean;
  /** The runtime must be told to leave cgroups alone. */
  ignoreCgroups: boolean;
  /** The runtime refuses a hybrid cgroup layout unless the v2 tree is hidden from it. */
  hideUnifiedCgroup: boolean;
}

/** A runtime class as a sandbox was created with it. It goes on with this binary until it is gone. */
export interface ResolvedRuntime {
  className: string;
  adapter: AdapterName;
  /** Path of the kept binary. */
  binary: string;
  /** sha256:HEX of the binary. */
  digest: string;
  version: string;
  /** runsc's platform; empty for others. */
  platform: string;
  traits: RuntimeTraits;
  /** Flags of the class, before the verb. */
  flags: string[];
}

/** One container as its runtime sees it. */
export interface RuntimeContainer {
  readonly id: string;
  readonly role: "pause" | "app";
  /** Folder of config.json. */
  readonly bundle: string;
  /** Folder of the monitor's and the adapter's files. */
  readonly dir: string;
  /** The runtime's own state folder: one for each sandbox. */
  readonly root: string;
  /** The process that the monitor watches; undefined before creation. */
  readonly process?: ProcessIdentity | undefined;
}

/** Paths of the files of one exec. */
export interface ExecFiles {
  /** `process` of the OCI configuration. */
  readonly process: string;
  /** Takes the number by which the runtime knows the process. */
  readonly pid: string;
  readonly log: string;
}

/**
 * A sandbox's runtime. There is no verb to delete a sandbox: state folder and cgroups are its alone and go with it, when its processes
 * are gone. (runsc's own would wait until somebody has reaped the gofers, which takes seconds where PID 1 is slow.) Every command has a
 * deadline; a failure is a BerthError with the tail of the runtime's log.
 */
export interface Runtime {
  /** An app can only be created in a sandbox whose pause exists. */
  readonly appsNeedPause: boolean;
  /** Program and arguments that the monitor calls as `… create --bundle B --pid-file P ID`. */
  createCommand(container: RuntimeContainer): string[];
  start(container: RuntimeContainer): Promise<void>;
  /**
   * Program and arguments that run a process in a started container, with their stdio as its own, and end with its exit code. They write the
   * pid file when the process has started, and what failed to the log.
   */
  execCommand(container: RuntimeContainer, files: ExecFiles): string[];
  /** execCommand with a terminal loses what a program writes right before it ends. */
  readonly losesTerminalOutput?: boolean;
  /** Sends a signal to a process of execCommand's, by the number in its pid file; one that has ended already is fine. */
  signalExec(container: RuntimeContainer, pid: number, signal: number): Promise<void>;
  /** Sends a signal to the container's first process; one that has ended already is fine. */
  signal(container: RuntimeContainer, signal: number): Promise<void>;
  /**
   * The exit code, from the runtime, where the monitor cannot know it; undefined when nobody can learn it any more.
   * Absent for runtimes whose containers' exit codes the monitor has.
   */
  waitExit?(container: RuntimeContainer, signal: AbortSignal): Promise<number | undefined>;
  /** Forgets an app whose processes are gone, so that its id can be created again while the sandbox lives; unknown already is fine. */
  forget(container: RuntimeContainer): Promise<void>;
  /** Freezes the whole sandbox, given its pause; frozen already is fine. Absent where the processes are the host's: there cgroups do it. */
  pause?(container: RuntimeContainer): Promise<void>;
  /** Lets it go on; one that is not frozen is fine. */
  resume?(container: RuntimeContainer): Promise<void>;
}
