/** Extracts the tar of a layer by GNU tar, confined. */
import { runCommand } from "../host/command.ts";
import { BerthError } from "../errors.ts";
import type { ImageLayer } from "./image.ts";
import { openLayer } from "./layer-stream.ts";

const TIMEOUT_MS = 10 * 60_000;

// No CAP_MKNOD: a device node in a layer would be a way to the host's devices. Nothing else that unpacking does not need.
const CONFINED = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+setfcap", "--"];
const TAR = ["tar", "-x", "-f", "-", "--numeric-owner", "--delay-directory-restore"];
// Of the attributes in a layer only those that mean the same inside a container: trusted.overlay.* would steer our own mounts.
const AS_ROOT = ["-p", "--same-owner", "--xattrs", "--xattrs-include=security.capability", "--xattrs-include=user.*"];
const AS_USER = ["--no-same-owner"];

/**
 * Extracts a layer, or of it only the members that are named, into `dir`, which must be fresh: what an earlier layer left there
 * could lead tar out of it. Verifies the layer's digests. As root it keeps owners, modes, capabilities and user attributes.
 * Errors: BerthError ImageInvalid (damaged, device node, a path that leads outside); CommandError when there is no tar.
 */
export async function extractLayer(layer: ImageLayer, dir: string, members: readonly string[] = []): Promise<void> {
  const asRoot = process.geteuid?.() === 0;
  const stream = openLayer(layer);
  const command = [...(asRoot ? CONFINED : []), ...TAR, ...(asRoot ? AS_ROOT : AS_USER), "-C", dir, "--", ...members];
  const [verified, extracted] = await Promise.allSettled([
    stream.verified,
    runCommand(command, { timeoutMs: TIMEOUT_MS, input: stream.tar, env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" } }),
  ]);
  if (extracted.status === "rejected") throw extracted.reason;
  const { exitCode, timedOut } = extracted.value;
  if (timedOut) throw new BerthError("ImageInvalid", `${layer.path}: not unpacked after ${TIMEOUT_MS / 60_000} minutes`);
  const confining = /^setpriv: .*$/m.exec(extracted.value.stderr);
  if (confining !== null) throw new BerthError("Internal", `tar cannot be confined: ${confining[0]}`);
  // A tar that stops early breaks the stream, and a broken stream stops tar: what tar says of its own is the better reason,
  // but when it only met the end of a stream that failed.
  const fault = tarFault(exitCode, extracted.value.stderr);
  const cutShort = fault !== undefined && verified.status === "rejected" && /Unexpected EOF|does not look like a tar|not recoverable/.test(fault);
  if (fault !== undefined && !cutShort) throw new BerthError("ImageInvalid", `${layer.path}: ${fault}`, { logTail: extracted.value.stderr.slice(-2000) });
  if (verified.status === "rejected") throw verified.reason;
}

/** The first thing that tar complained of; a named member that the layer does not have is none. */
function tarFault(exitCode: number, stderr: string): string | undefined {
  if (exitCode === 0) return undefined;
  const lines = stderr.split("\n").filter((line) => line !== "" && !/: Not found in archive$|Exiting with failure status due to previous errors$/.test(line));
  if (lines.length === 0 && exitCode === 2 && stderr.includes("Not found in archive")) return undefined;
  const device = lines.find((line) => /Cannot mknod/.test(line));
  if (device !== undefined) return `it holds a device node, which berth does not make (${device})`;
  return `tar ended with ${exitCode}: ${lines[0] ?? "no reason given"}`;
}
