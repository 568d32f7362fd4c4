import type { Counter, Histogram, Registry } from "prom-client";
import type { SandboxRecord, SandboxState } from "../sandbox/record.ts";

const STATES = [
  "PENDING",
  "CREATING",
  "RUNNING",
  "PAUSED",
  "COMPLETED",
  "STOPPING",
  "STOPPED",
  "FAILED",
  "DELETING",
] as const satisfies readonly SandboxState[];

/** From a small read to a creation that waits for a slow runtime. */
const RPC_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

type SandboxPages = (filter: { labels: Record<string, string>; pageSize: number; pageToken: string }) => {
  records: SandboxRecord[];
  nextPageToken: string;
};

/** What berthd counts, in the text format of Prometheus. */
export class Metrics {
  readonly #registry: Registry;
  readonly #calls: Counter<"method" | "code">;
  readonly #durations: Histogram<"method" | "code">;

  private constructor(registry: Registry, calls: Counter<"method" | "code">, durations: Histogram<"method" | "code">) {
    this.#registry = registry;
    this.#calls = calls;
    this.#durations = durations;
  }

  /** `states` tells the state of every sandbox; it is asked at each scrape. */
  static async create(states: () => Iterable<SandboxState>): Promise<Metrics> {
    const prometheus = await import("prom-client");
    const registry = new prometheus.Registry();
    const registers = [registry];
    prometheus.collectDefaultMetrics({ register: registry });
    const calls = new prometheus.Counter({
      name: "berth_rpc_total",
      help: "RPCs that were answered, by method and gRPC status code.",
      labelNames: ["method", "code"],
      registers,
    });
    const durations = new prometheus.Histogram({
      name: "berth_rpc_duration_seconds",
      help: "Time from the request of an RPC to its status, in seconds.",
      labelNames: ["method", "code"],
      buckets: RPC_BUCKETS,
      registers,
    });
    const sandboxes = new prometheus.Gauge({
      name: "berth_sandboxes",
      help: "Sandboxes on the node, by state.",
      labelNames: ["state"],
      registers,
      collect() {
        for (const state of STATES) this.set({ state }, 0);
        for (const state of states()) this.inc({ state });
      },
    });
    registry.registerMetric(sandboxes);
    return new Metrics(registry, calls, durations);
  }

  /** Counts one answered RPC. `method` is package.Service/Method, `code` such as OK or NOT_FOUND. */
  answered(method: string, code: string, seconds: number): void {
    this.#calls.inc({ method, code });
    this.#durations.observe({ method, code }, seconds);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    return this.#registry.metrics();
  }
}

/** The states of all sandboxes, page by page. */
export function* statesOf(list: SandboxPages): Generator<SandboxState> {
  let pageToken = "";
  do {
    const page = list({ labels: {}, pageSize: 1000, pageToken });
    for (const record of page.records) yield record.state;
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
}
