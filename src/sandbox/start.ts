/** Start: runs a sandbox that has ended once more, on what its containers have written. */

import { BerthError } from "../errors.ts";
import type { PinnedImage } from "../image/image.ts";
import { resolveImage } from "../image/layout.ts";
import { leaseOf } from "./deadlines.ts";
import { takeDown } from "./ending.ts";
import { launch, type WantedImage } from "./launch.ts";
import { type Live, type Operation, type Outcome, type Story, told } from "./operations.ts";
import type { SandboxRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";
import { moveTo, requireState } from "./state.ts";

export const START: Story = { verb: "start", begin, run, undo };

function begin(next: SandboxRecord): void {
  requireState(next, "start", ["STOPPED", "COMPLETED", "FAILED"]);
  const lease = leaseOf(next);
  if (lease !== undefined && Date.parse(lease) <= Date.now()) {
    const what = `the lease of sandbox ${next.namespace}/${next.name} ended at ${lease}`;
    throw new BerthError("WrongState", `${what}: renew it first (RenewLease, berth renew)`);
  }
  next.wanted = "running";
  next.generation += 1;
}

/** The runtime is the one that the class has now; the images are those that the sandbox was created from. */
async function run(rooms: Rooms, live: Live, operation: Operation): Promise<Outcome> {
  await launch(rooms, live, operation, (wanted) => findPinned(rooms, wanted));
  return "stays";
}

/** Where it could not even begin, the sandbox is as it was. */
async function undo(rooms: Rooms, live: Live, failure: BerthError): Promise<Outcome> {
  const { record } = live;
  if (record.state === "CREATING" || record.state === "RUNNING") {
    await takeDown(rooms, live);
    moveTo(record, "FAILED", { reason: failure.reason, message: told(failure) });
    record.finishedAt = new Date().toISOString();
  }
  return "stays";
}

async function findPinned(rooms: Rooms, { image = "", imageDigest }: WantedImage): Promise<PinnedImage> {
  const pinned = imageDigest === undefined ? undefined : rooms.pinnedImages.find(imageDigest);
  if (pinned) return pinned;
  // It failed before it came to its images, or an earlier berthd created it, which kept nothing but the digest.
  const found = await resolveImage(image);
  if (imageDigest === undefined || found.digest === imageDigest) return found;
  throw new BerthError(
    "ImageNotFound",
    `image ${image} is ${found.digest} now, and the sandbox was created from ${imageDigest}: delete it and create it again`,
  );
}
