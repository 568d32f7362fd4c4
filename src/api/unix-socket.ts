import { chmodSync, chownSync, lstatSync, readFileSync, unlinkSync } from "node:fs";
import { connect } from "node:net";

/** sockaddr_un has 108 bytes, the last one NUL. */
const MAX_SOCKET_PATH = 107;
const GROUP = "berth";

/** The path in unix:///PATH; undefined for anything else. */
export function socketPath(address: string): string | undefined {
  return /^unix:\/\/(?<path>\/[^/\0][^\0]*)$/.exec(address)?.groups?.["path"];
}

/** Makes way for a socket: one that nobody answers on is removed. Throws when somebody does, or when the path is something else. */
export async function claimSocketPath(path: string): Promise<void> {
  if (!path.startsWith("/")) throw new Error(`the socket path ${path} is not absolute`);
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) throw new Error(`the socket path ${path} is longer than ${MAX_SOCKET_PATH} bytes`);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) throw new Error(`${path} exists and is not a socket; it is left alone`);
  if (await answers(path)) throw new Error(`another process answers on ${path}; is berthd running?`);
  unlinkSync(path);
}

/** Opens a bound socket to its owner and to the group berth, where there is one. */
export function guardSocket(path: string): void {
  const gid = groupId(readFileSync("/etc/group", "utf8"), GROUP);
  if (gid !== undefined) chownSync(path, process.getuid?.() ?? 0, gid);
  chmodSync(path, 0o660);
}

async function answers(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect(path, () => resolve(true));
  socket.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
    else reject(error);
  });
  return promise.finally(() => socket.destroy());
}

export function groupId(groups: string, name: string): number | undefined {
  const line = groups.split("\n").find((entry) => entry.startsWith(`${name}:`));
  const gid = Number(line?.split(":")[2]);
  return Number.isInteger(gid) ? gid : undefined;
}
