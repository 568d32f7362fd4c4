/** Host devices of a container: what is asked for, and what is written of it. Pure. Rules: docs/rules.md, "Devices". */

import type { OciDevice, OciDeviceRule } from "./oci.ts";

/** One device of the host. */
export interface DeviceRequest {
  /** Its node on the host. */
  readonly path: string;
  /** Where it stands in the container, below /dev. */
  readonly containerPath: string;
  /** Of r, w and m (mknod), in this order. */
  readonly permissions: string;
}

/** What the host says of a device's node. */
export interface DeviceNode {
  readonly type: "c" | "b";
  readonly major: number;
  readonly minor: number;
  /** Permission bits, user and group. */
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What every container has, or the runtime makes: nothing may stand over it. */
export const STANDARD_DEVICES: readonly string[] =
  "console core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split(" ").map((name) => `/dev/${name}`);

/** linux.devices and the rules that let the container at them. Nodes are by path on the host. */
export function renderDevices(
  asked: readonly DeviceRequest[],
  nodes: ReadonlyMap<string, DeviceNode>,
): { devices: OciDevice[]; rules: OciDeviceRule[] } {
  const known = asked.map(({ path, containerPath, permissions }) => {
    const node = nodes.get(path);
    if (!node) throw new Error(`no node of the device ${path}`);
    return { node, containerPath, permissions };
  });
  return {
    devices: known.map(({ node: { type, major, minor, fileMode, uid, gid }, containerPath }) => ({
      path: containerPath,
      type,
      major,
      minor,
      fileMode,
      uid,
      gid,
    })),
    rules: known.map(({ node: { type, major, minor }, permissions }) => ({ allow: true, type, major, minor, access: permissions })),
  };
}
