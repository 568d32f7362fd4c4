/** Tells systemd how the daemon is: READY=1, STATUS=..., WATCHDOG=1, STOPPING=1. */
import koffi from "koffi";

type Notify = (unsetEnvironment: number, state: string) => number;

let notify: Notify | undefined;

/**
 * Sends one state, or several on lines of their own. Answers false when nobody listens (no NOTIFY_SOCKET).
 * Errors: when systemd listens but libsystemd.so.0 is missing or the message cannot be sent.
 */
export function sdNotify(state: string): boolean {
  if (!process.env["NOTIFY_SOCKET"]) return false;
  notify ??= loadNotify();
  const answer = notify(0, state);
  if (answer < 0) throw new Error(`sd_notify to ${process.env["NOTIFY_SOCKET"]} failed with errno ${-answer}`);
  return answer > 0;
}

function loadNotify(): Notify {
  try {
    return koffi.load("libsystemd.so.0").func("sd_notify", "int", ["int", "str"]) as Notify;
  } catch (error) {
    throw new Error("systemd wants to be notified (NOTIFY_SOCKET is set) but libsystemd.so.0 cannot be loaded; install libsystemd0", {
      cause: error,
    });
  }
}
