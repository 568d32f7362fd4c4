/** Every kind of event with its meaning; docs/events.md lists the same. */
export const EVENT_KINDS = {
  "sandbox.created": "The sandbox is in the journal from here on.",
  "sandbox.state": "The sandbox went to `sandbox_state`, or the reason of its state changed.",
  "lease.renewed": "A caller moved the end of the lease; `message` says until when.",
  "sandbox.deleted": "Nothing of the sandbox is left on the node. `end` says how it and its containers ended.",
  "image.used": "The container's image reference was resolved; `message` names the digest.",
  "container.waiting": "The container waits to be created.",
  "container.created": "The runtime has created the container.",
  "container.started": "The container's process was started.",
  "container.exited": "The container ended with `exit_code`, 128 + signal when a signal ended it.",
  "container.unknown": "The container is gone and nobody can learn its exit code.",
  "node.drained": "The node starts no sandboxes from here on; those that run go on.",
  "node.undrained": "The node starts sandboxes again.",
  "recovery.found":
    "berthd found at its start what looks like a sandbox of this id and is none of the journal's; `message` says what, and whether it was removed.",
} as const satisfies Record<string, string>;

export type EventKind = keyof typeof EVENT_KINDS;
