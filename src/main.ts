#!/usr/bin/env node
/** berthd: flags, start, signals. */

import { parseArgs } from "node:util";
import { type Daemon, startDaemon } from "./daemon.ts";
import { createLogger } from "./observe/logger.ts";
import { VERSION } from "./observe/version.ts";

const HELP = `berthd ${VERSION} - the node agent of berth: turns sandbox specs into OCI bundles and running sandboxes

usage: berthd [flags]

  --config FILE         node config (default /etc/berth/berth.yaml where it exists)
  --policy FILE         what sandboxes may ask for on this node (default /etc/berth/policy.yaml where it exists); read again on SIGHUP
  --state-dir DIR       journal, images, bundles, logs (default /var/lib/berth)
  --run-dir DIR         sockets and run-time state (default /run/berth)
  --listen unix:///PATH where the gRPC API listens; may be repeated (default unix://RUN/berthd.sock)
  --admin ADDRESS       admin HTTP (/healthz /readyz /metrics /version): unix:///PATH or 127.0.0.1:PORT
                        (default unix://RUN/admin.sock)
  --version             print the version
  --help                print this

Needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN. Sandboxes outlive berthd: after a restart it goes on with them.
BERTH_LOG_LEVEL (trace, debug, info, warn, error) sets what is logged to stderr.
example: berthd --state-dir /tmp/b/state --run-dir /tmp/b/run --listen unix:///tmp/b/berthd.sock`;

const WRONG_USAGE = 2;
/** As against the bundle that is shipped. */
const FROM_SOURCE = import.meta.url.endsWith("/main.ts");

const options = {
  config: { type: "string" },
  policy: { type: "string" },
  "state-dir": { type: "string", default: "/var/lib/berth" },
  "run-dir": { type: "string", default: "/run/berth" },
  listen: { type: "string", multiple: true },
  admin: { type: "string" },
  // For tests of what a crash does: not in the help, and not in what is shipped.
  "fault-file": { type: "string" },
  version: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

function fail(message: string, code: number): never {
  process.stderr.write(`berthd: ${message}\n`);
  process.exit(code);
}

function readFlags() {
  try {
    return parseArgs({ options, allowPositionals: false }).values;
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : String(error)}\ntry berthd --help`, WRONG_USAGE);
  }
}

async function main(): Promise<void> {
  const flags = readFlags();
  if (flags.help || flags.version) {
    process.stdout.write(`${flags.help ? HELP : VERSION}\n`);
    return;
  }
  if (flags["fault-file"] !== undefined && !FROM_SOURCE) fail("--fault-file is refused: this berthd is no test's", WRONG_USAGE);
  if (process.getuid?.() !== 0) fail("needs root: it makes mounts, namespaces and control groups", 1);
  for (const name of ["state-dir", "run-dir"] as const)
    if (!flags[name].startsWith("/")) fail(`--${name} ${flags[name]} is not an absolute path`, WRONG_USAGE);

  const log = createLogger();
  const run = flags["run-dir"];
  const listen = flags.listen ?? [`unix://${run}/berthd.sock`];
  const admin = flags.admin ?? `unix://${run}/admin.sock`;
  const files = { configFile: flags.config, policyFile: flags.policy, faultFile: flags["fault-file"] };
  const starting = startDaemon({ ...files, stateDir: flags["state-dir"], runDir: run, listen, admin }, log);
  // From the first moment: without a listener the signal would end berthd.
  process.on("SIGHUP", () => void starting.then((daemon) => daemon.reloadPolicy()));
  const daemon = await starting;
  const end = (signal: NodeJS.Signals): void => {
    log.info({ signal }, "berthd ends; sandboxes live on");
    void closeAndExit(daemon);
  };
  process.once("SIGTERM", end);
  process.once("SIGINT", end);
}

async function closeAndExit(daemon: Daemon): Promise<never> {
  await daemon.close();
  process.exit(0);
}

await main().catch((error: unknown) => fail(error instanceof Error ? error.message : String(error), 1));
