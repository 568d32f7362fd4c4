import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";

export interface HostDevice {
  /** b, major and minor, as mknod takes them. */
  readonly mknod: string;
}

/**
 * A disk of the host that may be read through a node made anywhere, so that only a device rule can stop a container from it.
 * Not each is such a one: the kernel may keep the disk of / for itself. The first loop device will do, which even without a file
 * behind it can be opened and reads as empty. (The kernel's log would not do: it asks for CAP_SYSLOG whatever the rules are.)
 */
export function readableDisk(scratch: string): HostDevice {
  const disks = [...readFileSync("/proc/partitions", "utf8").matchAll(/^\s*(\d+)\s+(\d+)\s+\d+/gm)].map(
    ([, major, minor]) => `b ${major} ${minor}`,
  );
  const mknod = [...disks, "b 7 0"].find((disk) => isReadable(join(scratch, "disk"), disk));
  if (mknod === undefined)
    throw new Error("the host itself can read no disk through a node that it makes: this test needs root on a real node");
  return { mknod };
}

function isReadable(path: string, mknod: string): boolean {
  try {
    execFileSync("mknod", [path, ...mknod.split(" ")], { stdio: "pipe" });
    const device = openSync(path, "r");
    try {
      readSync(device, Buffer.alloc(1));
      return true;
    } finally {
      closeSync(device);
    }
  } catch {
    return false;
  } finally {
    rmSync(path, { force: true });
  }
}
