import { readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { EVENT_KINDS } from "../../src/sandbox/event-kinds.ts";

const DOC = "docs/events.md";

/** The page that lists every kind. */
function eventsPage(): string {
  const rows = Object.entries(EVENT_KINDS).map(([kind, meaning]) => `| ${kind} | ${meaning} |`);
  return `# Events

\`berth.v1.Events/Watch\` and \`berth events\` tell what happens on the node. An event is written to the journal in the transaction that holds the change
it is about, so there is no change without its event and no event without its change; watchers hear of it when it is on the disk.

- **Cursor.** Each event and each answer has one. Who comes back with the last one misses nothing and gets nothing twice, also over restarts of berthd. It
  means nothing but a place, and only to the journal that gave it.
- **Snapshot.** A watch can begin with every sandbox that is, and goes on with what changes from there: what an event would say and the snapshot has
  already is not said again. \`cursor\` stays empty until the snapshot is whole.
- **How long.** Events are kept for an hour; when there are more than 100,000, those older than ten minutes go. The end of a deleted sandbox, with the
  exit codes of its containers, is an event too. A cursor from before what is kept gets OUT_OF_RANGE (\`CursorGone\`) with the oldest one that works,
  and so does a cursor of a journal that was lost.
- **Idle watchers** get a new cursor every half minute: who keeps the last one is not outrun.
- **Slow readers** cost no memory: what they have not read stays in the journal.

A state that passes between two writes of the journal is not told; a start and an exit always are. \`operation\` is the verb that did it; \`principal\` is
empty as long as callers have no identity.

This page is made from \`src/sandbox/event-kinds.ts\`: \`UPDATE_FIXTURES=1 vitest run test/api/events-doc.test.ts\` writes it again.

| Kind | Meaning |
|---|---|
${rows.join("\n")}
`;
}

test("docs/events.md lists every kind of event as src/sandbox/event-kinds.ts has it", () => {
  if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(DOC, eventsPage());
  expect(readFileSync(DOC, "utf8")).toBe(eventsPage());
});
