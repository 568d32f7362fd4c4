/** Whether this node takes new sandboxes. */

import { BerthError } from "../errors.ts";
import type { Journal } from "../journal/journal.ts";

/** A drained node starts nothing; what runs there goes on. Kept in the journal until it is undone. */
export class Drain {
  readonly #journal: Pick<Journal, "draining">;

  constructor(journal: Pick<Journal, "draining">) {
    this.#journal = journal;
  }

  get active(): boolean {
    return this.#journal.draining;
  }

  /** Durable when it returns. Throws as the journal does, and then nothing has changed. */
  set active(wanted: boolean) {
    this.#journal.draining = wanted;
  }

  /** Throws Draining. */
  refuseNew(): void {
    if (!this.active) return;
    throw new BerthError(
      "Draining",
      "this node is drained and starts no sandboxes: use another node, or undo it (Undrain, berth node undrain)",
    );
  }
}
