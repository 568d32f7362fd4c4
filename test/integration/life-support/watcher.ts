/** A watcher of a node's events, who misses no restart of berthd. */

import { setTimeout as sleep } from "node:timers/promises";
import { Connection } from "../../../src/api/client.ts";
import { type Event, Events } from "../../../src/gen/berth/v1/events_pb.js";
import type { TestNode } from "../node.ts";
import { idOf, told } from "./support.ts";

/** A watcher that comes back with its last cursor whenever it is cut off. */
export class Watcher {
  readonly events: Event[] = [];
  readonly snapshot = new Map<string, string>();
  readonly #node: TestNode;
  readonly #over = new AbortController();
  readonly #done: Promise<void>;
  #cursor = "";

  constructor(node: TestNode) {
    this.#node = node;
    this.#done = this.#watch();
  }

  async #watch(): Promise<void> {
    while (!this.#over.signal.aborted) {
      using connection = new Connection(this.#node.address);
      this.#over.signal.addEventListener("abort", () => connection.close());
      const start = this.#cursor === "" ? { case: "snapshot" as const, value: true } : { case: "cursor" as const, value: this.#cursor };
      try {
        for await (const answer of connection.client(Events).watch({ start })) {
          for (const sandbox of answer.sandboxes) this.snapshot.set(idOf(sandbox), told(sandbox).state);
          this.events.push(...answer.events);
          this.#cursor = answer.cursor || this.#cursor;
          if (this.#over.signal.aborted) return;
        }
      } catch {
        await sleep(50);
      }
    }
  }

  get begun(): boolean {
    return this.#cursor !== "";
  }

  /** "KIND CONTAINER EXIT-CODE" of one sandbox. */
  of(id: string): string[] {
    return this.events
      .filter(({ sandboxId }) => sandboxId === id)
      .map(({ kind, container, exitCode }) => [kind, container, exitCode].filter((part) => part !== "" && part !== undefined).join(" "));
  }

  /** Ids of sandboxes of whose end it has not heard. */
  get living(): string[] {
    const gone = new Set(this.events.filter(({ kind }) => kind === "sandbox.deleted").map(({ sandboxId }) => sandboxId));
    const heardOf = new Set([...this.snapshot.keys(), ...this.events.map(({ sandboxId }) => sandboxId)]);
    return [...heardOf].filter((id) => id !== "" && !gone.has(id));
  }

  get numbers(): number[] {
    return this.events.map(({ cursor }) => Number(cursor.split("-")[1]));
  }

  async end(): Promise<void> {
    this.#over.abort();
    await Promise.race([this.#done, sleep(2000)]);
  }
}
