/** The pause container: constant per runtime class. Nothing of a request changes a byte of its process or mounts. Pure. */

import { DEFAULT_CAPABILITIES } from "./capabilities.ts";
import type { OciProcess } from "./oci.ts";
import { DEFAULT_PATH } from "./process.ts";
import { processRlimits } from "./rlimits.ts";

export const PAUSE_NAME = "pause";

/** The pause program is catatonit; -P makes it wait for ever and reap. */
export const PAUSE_ARGS = ["/pause", "-P"] as const;

export function pauseProcess(leakingRlimits: boolean): OciProcess {
  return {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args: [...PAUSE_ARGS],
    env: [DEFAULT_PATH],
    cwd: "/",
    capabilities: {
      bounding: [...DEFAULT_CAPABILITIES],
      effective: [...DEFAULT_CAPABILITIES],
      inheritable: [...DEFAULT_CAPABILITIES],
      permitted: [...DEFAULT_CAPABILITIES],
    },
    rlimits: processRlimits(leakingRlimits),
  };
}
