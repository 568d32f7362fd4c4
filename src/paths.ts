import { join } from "node:path";

/** Every place that berthd writes to, said once. STATE outlives a reboot, RUN does not. */
export class NodePaths {
  readonly state: string;
  readonly run: string;

  constructor(state: string, run: string) {
    this.state = state;
    this.run = run;
  }

  get journal(): string {
    return join(this.state, "journal.db");
  }
  get images(): string {
    return join(this.state, "images");
  }
  get rootfs(): string {
    return join(this.state, "containers");
  }
  /** Copies of runtime binaries in use, by digest. */
  get runtimes(): string {
    return join(this.state, "runtimes");
  }
  get pauseRootfs(): string {
    return join(this.state, "pause", "rootfs");
  }
  get allBundles(): string {
    return join(this.state, "bundles");
  }
  /** Bundles of a sandbox: one folder for each container. */
  bundles(sandboxId: string): string {
    return join(this.allBundles, sandboxId);
  }
  /** /etc/hosts of its apps. The dot keeps it apart from a container's folder. */
  hosts(sandboxId: string): string {
    return join(this.bundles(sandboxId), "etc.hosts");
  }
  /** Disk of a sandbox's volumes, each in a folder of its name. */
  volumes(sandboxId: string): string {
    return join(this.state, "volumes", sandboxId);
  }
  /** Mount points of a sandbox's volumes that are mounts: beside what a running sandbox has, so that no removal of files comes here. */
  volumeMounts(sandboxId: string): string {
    return join(this.allVolumeMounts, sandboxId);
  }
  get allVolumeMounts(): string {
    return join(this.run, "v");
  }
  logs(sandboxId: string): string {
    return join(this.state, "logs", sandboxId);
  }
  log(sandboxId: string, container: string): string {
    return join(this.logs(sandboxId), `${container}.log`);
  }
  get sandboxes(): string {
    return join(this.run, "s");
  }
  /** All that a running sandbox has under RUN. Short names: sockets lie in it. */
  sandbox(sandboxId: string): string {
    return join(this.sandboxes, sandboxId);
  }
  /** The runtime's own state (--root). */
  runtimeRoot(sandboxId: string): string {
    return join(this.sandbox(sandboxId), "r");
  }
  /** The monitor's files of one container: pid files, exit file, runtime log. */
  container(sandboxId: string, containerId: string): string {
    return join(this.sandbox(sandboxId), containerId);
  }
  get namespaces(): string {
    return join(this.run, "ns");
  }
}
