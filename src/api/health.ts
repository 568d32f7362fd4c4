import { EventEmitter, on } from "node:events";
import { status } from "@grpc/grpc-js";
import { Health as HealthDescription, HealthCheckResponse_ServingStatus as ServingStatus } from "../gen/grpc/health/v1/health_pb.js";
import { type Service, service } from "./handlers.ts";
import { ProtocolError } from "./status.ts";

/** grpc.health.v1 for a fixed set of services that are all served or all not. */
export class Health {
  readonly service: Service;
  readonly #names: readonly string[];
  readonly #changes = new EventEmitter().setMaxListeners(0);
  #serving = false;

  /** `names` are the services; the empty name, the server as a whole, is always there. */
  constructor(names: readonly string[]) {
    this.#names = ["", ...names];
    this.service = service(HealthDescription, {
      check: ({ service: name }) => ({ status: this.#check(name) }),
      list: () => ({ statuses: Object.fromEntries(this.#names.map((name) => [name, { status: this.#status() }])) }),
      watch: ({ service: name }, signal) => this.#watch(name, signal),
    });
  }

  /** Tells every watcher. */
  setServing(serving: boolean): void {
    if (serving === this.#serving) return;
    this.#serving = serving;
    this.#changes.emit("change");
  }

  #status(): ServingStatus {
    return this.#serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }

  #check(name: string): ServingStatus {
    if (this.#names.includes(name)) return this.#status();
    throw new ProtocolError(status.NOT_FOUND, `there is no service ${JSON.stringify(name)}`);
  }

  async *#watch(name: string, signal: AbortSignal): AsyncGenerator<{ status: ServingStatus }> {
    const known = this.#names.includes(name);
    try {
      const changes = on(this.#changes, "change", { signal });
      yield { status: known ? this.#status() : ServingStatus.SERVICE_UNKNOWN };
      for await (const _ of changes) if (known) yield { status: this.#status() };
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
