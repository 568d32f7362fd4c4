/** Extracts the tar of a layer by GNU tar, confined. */
import type { Readable } from "node:stream";
import { runCommand } from "../host/command.ts";
import { BerthError } from "../errors.ts";
import type { ImageLayer } from "./image.ts";
import { LAYER_TIMEOUT_MS, openLayer } from "./layer-stream.ts";

// No CAP_MKNOD: a device node in a layer would be a way to the host's devices. Nothing else that unpacking does not need.
const CONFINED = [
  "setpriv",
  "--no-new-privs",
  "--inh-caps=-all",
  "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+setfcap",
  "--",
];
const TAR = ["tar", "-x", "-f", "-", "--numeric-owner", "--delay-directory-restore"];
// Of the attributes in a layer only those that mean the same inside a container: trusted.overlay.* would steer our own mounts.
const AS_ROOT = ["-p", "--same-owner", "--xattrs", "--xattrs-include=security.capability", "--xattrs-include=user.*"];
const AS_USER = ["--no-same-owner"];
const HARMLESS =
  /: Not found in archive$|^tar: Removing leading `\S+' from (?:member names|hard link targets)$|Exiting with failure status due to previous errors$/;

/**
 * Extracts a layer, or of it only the members that are named, into `dir`, which must be fresh: what an earlier layer left there
 * could lead tar out of it. Verifies the layer's digests. As root it keeps owners, modes, capabilities and user attributes.
 * Errors: BerthError ImageInvalid (damaged, device node, a path that leads outside); CommandError when there is no tar.
 */
export async function extractLayer(layer: ImageLayer, dir: string, members: readonly string[] = []): Promise<void> {
  const asRoot = process.geteuid?.() === 0;
  const command = [...(asRoot ? CONFINED : []), ...TAR, ...(asRoot ? AS_ROOT : AS_USER), "-C", dir, "--", ...members];
  const { tar, verified } = openLayer(layer);
  const verdict = verified.then(
    () => undefined,
    (error: unknown) => error,
  );
  const abandoned = new Error("tar has failed");
  const fault = await runTar(command, tar).catch((error: unknown) => {
    tar.destroy(abandoned);
    throw error;
  });
  if (fault !== undefined) tar.destroy(abandoned); // no need to read the rest of what may be endless
  const damage = await verdict;
  // A damaged blob makes tar fail too, and is the better reason.
  if (damage instanceof BerthError && damage.detail.cause !== abandoned) throw damage;
  if (fault !== undefined) throw new BerthError("ImageInvalid", `${layer.path}: ${fault}`);
}

/** Answers what tar complained of. */
async function runTar(command: readonly string[], tar: Readable): Promise<string | undefined> {
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" };
  const { exitCode, stderr, timedOut } = await runCommand(command, { timeoutMs: LAYER_TIMEOUT_MS, input: tar, env });
  return timedOut ? `not unpacked after ${LAYER_TIMEOUT_MS / 60_000} minutes` : tarFault(exitCode, stderr);
}

/** The first thing that tar complained of; a named member that the layer does not have is none. */
function tarFault(exitCode: number, stderr: string): string | undefined {
  if (exitCode === 0) return undefined;
  const confining = /^setpriv: .*$/m.exec(stderr);
  if (confining !== null) throw new BerthError("Internal", `tar cannot be confined: ${confining[0]}`);
  const lines = stderr.split("\n").filter((line) => line !== "" && !HARMLESS.test(line));
  if (lines.length === 0 && exitCode === 2 && stderr.includes("Not found in archive")) return undefined;
  const device = lines.find((line) => /Cannot mknod/.test(line));
  if (device !== undefined) return `it holds a device node, which berth does not make (${device})`;
  return `tar ended with ${exitCode}: ${lines[0] ?? "no reason given"}`;
}
