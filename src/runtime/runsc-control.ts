/**
 * runsc's control socket: JSON on a unix stream, without framing. An interface of its own between runsc's parts, the same in
 * all releases of 2024 to 2026; a waiting connection costs nothing where `runsc wait` costs a process of 20 MiB.
 */

import { closeSync, constants, existsSync, openSync } from "node:fs";
import { connect } from "node:net";
import { basename, dirname } from "node:path";
import { exitCodeOf } from "../host/spawn.ts";

/** The exit code of an app; undefined when the sandbox died; "unavailable" when the socket does not speak as expected. */
export async function waitOverControlSocket(
  path: string,
  containerId: string,
  signal: AbortSignal,
): Promise<number | undefined | "unavailable"> {
  // A folder's descriptor stands for its path, which may be longer than the 107 bytes of a socket address.
  const folder = openFolder(dirname(path));
  if (folder === undefined) return "unavailable";
  try {
    return await ask(`/proc/self/fd/${folder}/${basename(path)}`, containerId, signal);
  } finally {
    closeSync(folder);
  }
}

/** Undefined when it is not there. */
function openFolder(path: string): number | undefined {
  return existsSync(path) ? openSync(path, constants.O_DIRECTORY) : undefined;
}

async function ask(path: string, containerId: string, signal: AbortSignal): Promise<number | undefined | "unavailable"> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    let answer = "";
    let connected = false;
    const finish = (result: number | undefined | "unavailable"): void => {
      signal.removeEventListener("abort", abort);
      socket.destroy();
      resolve(result);
    };
    const abort = (): void => finish(undefined);
    signal.addEventListener("abort", abort);
    socket.on("connect", () => {
      connected = true;
      socket.write(JSON.stringify({ method: "containerManager.Wait", arg: containerId }));
    });
    socket.on("data", (bytes) => {
      answer += bytes.toString("utf8");
      const code = parseAnswer(answer);
      if (code !== "incomplete") finish(code);
    });
    socket.on("error", () => finish(connected ? undefined : "unavailable"));
    socket.on("close", () => finish(connected ? undefined : "unavailable"));
  });
}

function parseAnswer(text: string): number | undefined | "unavailable" | "incomplete" {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return "incomplete";
  }
  const { success, result } = answer as { success?: unknown; result?: unknown };
  if (success !== true || typeof result !== "number") return "unavailable";
  return exitCodeOf(result);
}
