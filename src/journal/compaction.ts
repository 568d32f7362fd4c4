import type { Logger } from "../observe/logger.ts";
import type { Journal } from "./journal.ts";

const EVERY_MS = 1_000;

/** Deletes old events in the background, a thousand a second at most, so that nobody waits for it. Clear the timer before the journal is closed. */
export function keepCompact(journal: Journal, log: Pick<Logger, "warn">): NodeJS.Timeout {
  return setInterval(() => {
    try {
      journal.compact();
    } catch (err) {
      log.warn({ err }, "old events could not be deleted");
    }
  }, EVERY_MS);
}
