import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";

export interface HostDevice {
  /** b or c, major and minor, as mknod takes them. */
  readonly mknod: string;
}

/** A device of the host that nobody but the host may read: a disk, where there is none the kernel's log. Reading it here proves that only a rule can stop a container. */
export function readableHostDevice(scratch: string): HostDevice {
  const disks = [...readFileSync("/proc/partitions", "utf8").matchAll(/^\s*(\d+)\s+(\d+)\s+\d+/gm)].map(
    ([, major, minor]) => `b ${major} ${minor}`,
  );
  for (const mknod of [...disks, "c 1 11"]) if (isReadable(join(scratch, "device"), mknod)) return { mknod };
  throw new Error("the host itself can read no disk and no kernel log through a device that it makes: this test needs root on a real node");
}

function isReadable(path: string, mknod: string): boolean {
  try {
    execFileSync("mknod", [path, ...mknod.split(" ")], { stdio: "pipe" });
    const device = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return readSync(device, Buffer.alloc(8192)) > 0;
    } finally {
      closeSync(device);
    }
  } catch {
    return false;
  } finally {
    rmSync(path, { force: true });
  }
}
