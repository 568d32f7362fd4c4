/** The composition root: every room is made here, once, and handed to those that need it. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startAdminServer } from "./api/admin.ts";
import { ApiServer } from "./api/server.ts";
import { claimSocketPath, socketPath } from "./api/unix-socket.ts";
import { loadConfig } from "./config.ts";
import { Cgroups } from "./host/cgroups.ts";
import { sdNotify } from "./host/notify.ts";
import { PinnedImages } from "./image/pinned.ts";
import { LayerStore } from "./image/store.ts";
import { keepCompact } from "./journal/compaction.ts";
import { Journal } from "./journal/journal.ts";
import { SandboxNamespaces } from "./network/namespaces.ts";
import { NodeInventory } from "./observe/inventory.ts";
import type { Logger } from "./observe/logger.ts";
import { Metrics, statesOf } from "./observe/metrics.ts";
import { NodePaths } from "./paths.ts";
import { PolicyFile } from "./policy-file.ts";
import { RootFilesystems } from "./rootfs/overlay.ts";
import { preparePauseRootfs } from "./rootfs/pause.ts";
import { RuntimeRegistry } from "./runtime/registry.ts";
import { Drain } from "./sandbox/drain.ts";
import { EventFeed } from "./sandbox/event-feed.ts";
import { faultsIn, noFaults } from "./sandbox/faults.ts";
import { nodeGrants } from "./sandbox/node-grants.ts";
import type { Rooms } from "./sandbox/rooms.ts";
import { Sandboxes } from "./sandbox/sandboxes.ts";
import { SandboxVolumes } from "./volume/volumes.ts";

export interface DaemonOptions {
  /** Absent: the default file where it exists. */
  readonly configFile: string | undefined;
  /** Absent: the default file where it exists. */
  readonly policyFile: string | undefined;
  readonly stateDir: string;
  readonly runDir: string;
  /** Each unix:///PATH. */
  readonly listen: readonly string[];
  readonly admin: string;
  /** For tests; see sandbox/faults.ts. */
  readonly faultFile: string | undefined;
}

export interface Daemon {
  /** Reads policy.yaml again; a wrong one changes nothing and is told to the log. */
  reloadPolicy(): Promise<void>;
  /** Takes no new calls, lets what runs come to its end, and leaves the sandboxes running. */
  close(): Promise<void>;
}

/** For unary calls to get their answer at the end. */
const CLOSE_GRACE_MS = 5_000;

/** For mounts, namespaces and control groups; and for the interfaces of a network namespace. */
const NEEDED_CAPABILITIES = ["CAP_SYS_ADMIN", "CAP_NET_ADMIN"];

export async function startDaemon(options: DaemonOptions, log: Logger): Promise<Daemon> {
  const node = nodeGrants();
  const missing = NEEDED_CAPABILITIES.filter((name) => !node.capabilities.has(name));
  // Without them every create would fail, each at another step.
  if (missing.length > 0)
    throw new Error(`needs ${NEEDED_CAPABILITIES.join(" and ")}, but its bounding set lacks ${missing.join(" and ")}: start it with more`);
  const config = await loadConfig(options.configFile);
  const policy = await PolicyFile.open(options.policyFile, config);
  const paths = new NodePaths(options.stateDir, options.runDir);
  mkdirSync(paths.state, { recursive: true, mode: 0o700 });
  mkdirSync(paths.run, { recursive: true, mode: 0o711 });

  // Before anything is recovered: another berthd may be at work in the same run folder.
  for (const address of options.listen) await claimSocketPath(socketPath(address) ?? "");
  const journal = new Journal(paths.journal);
  const cgroups = new Cgroups();
  preparePauseRootfs(paths.pauseRootfs, config.pauseBinary);
  const places = { runtimes: paths.runtimes, pauseRootfs: paths.pauseRootfs, probes: join(paths.run, "probes") };
  const runtimes = new RuntimeRegistry(config, places, cgroups);
  const rooms: Rooms = {
    config,
    policy,
    paths,
    journal,
    runtimes,
    layers: new LayerStore(paths.images),
    pinnedImages: new PinnedImages(paths.images),
    rootfs: new RootFilesystems(paths.rootfs),
    volumes: new SandboxVolumes(paths),
    namespaces: new SandboxNamespaces(paths.run),
    cgroups,
    node,
    drain: new Drain(journal),
    log,
    faults: options.faultFile === undefined ? noFaults : faultsIn(options.faultFile),
  };
  const sandboxes = new Sandboxes(rooms);
  const inventory = new NodeInventory(() => runtimes.list());
  const metrics = await Metrics.create(() => statesOf((filter) => sandboxes.list(filter)));

  await sandboxes.recover();
  const answered = (method: string, code: string, seconds: number): void => metrics.answered(method, code, seconds);
  const api = await ApiServer.start({
    sandboxes,
    events: new EventFeed(journal),
    inventory,
    drain: rooms.drain,
    listen: options.listen,
    logger: log,
    answered,
  });
  const unready = (): string[] => [
    ...(api.serving ? [] : ["berthd is shutting down"]),
    ...(rooms.drain.active ? ["the node is drained: it starts no sandboxes"] : []),
  ];
  const admin = await startAdminServer({ listen: options.admin, metrics, unready });
  api.setServing(true);
  const watchdog = startWatchdog();
  const compaction = keepCompact(journal, log);
  sdNotify("READY=1");
  log.info({ listen: options.listen, admin: options.admin, state: paths.state, run: paths.run }, "berthd is ready");

  return {
    reloadPolicy: () => policy.reload(log),
    async close() {
      sdNotify("STOPPING=1");
      clearInterval(watchdog);
      clearInterval(compaction);
      await api.close(CLOSE_GRACE_MS);
      await sandboxes.close();
      await admin.close();
      journal.close();
    },
  };
}

/** Tells systemd twice in each of its intervals that the event loop turns. */
function startWatchdog(): NodeJS.Timeout | undefined {
  const interval = Number(process.env["WATCHDOG_USEC"] ?? 0) / 1000;
  return interval > 0 ? setInterval(() => sdNotify("WATCHDOG=1"), interval / 2) : undefined;
}
