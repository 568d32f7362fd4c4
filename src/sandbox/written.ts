/** The bundles that a sandbox was created with, as they lie on the node. Reads and changes nothing. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type DiffBundle, originsOfWritten } from "../bundle/diff.ts";
import { explain, type Origin } from "../bundle/explain.ts";
import { render, type RenderImage } from "../bundle/render.ts";
import { BerthError, toBerthError } from "../errors.ts";
import { renderInput } from "./launch.ts";
import { readDevices } from "./devices.ts";
import { readImageOfLayout } from "./offline.ts";
import { allContainers, type SandboxRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";
import { readSeccompProfiles } from "./seccomp-profiles.ts";

export interface WrittenBundles {
  /** Pause first, then the apps in the order of the spec. Origins are those of values that berthd would write today as well. */
  readonly bundles: readonly DiffBundle[];
  /** Why origins are missing, for people. */
  readonly warnings: readonly string[];
}

/** Throws WrongState when the sandbox has no bundles, as before and while it is created. */
export async function writtenBundles(rooms: Rooms, record: SandboxRecord): Promise<WrittenBundles> {
  const files = await Promise.all(
    allContainers(record).map(async ({ name }) => ({ container: name, configJson: await readConfig(rooms, record, name) })),
  );
  const warnings: string[] = [];
  const rendered = await renderToday(rooms, record).catch((error: unknown) => {
    warnings.push(`where values come from is not known, as the sandbox cannot be rendered again: ${toBerthError(error).message}`);
    return new Map<string, DiffBundle>();
  });
  const bundles = files.map((file): DiffBundle => {
    const today = rendered.get(file.container);
    if (!today) return { ...file, provenance: [] };
    if (today.configJson === file.configJson) return today;
    warnings.push(`config.json of ${file.container} is not what berthd would write today: values that differ have no origin`);
    return { ...file, provenance: originsOf(file.configJson, today) };
  });
  return { bundles, warnings };
}

async function readConfig(rooms: Rooms, record: SandboxRecord, container: string): Promise<string> {
  try {
    return await readFile(join(rooms.paths.bundles(record.id), container, "config.json"), "utf8");
  } catch (error) {
    const what = `sandbox ${record.namespace}/${record.name} (${record.state}) has no config.json of ${container}`;
    throw new BerthError("WrongState", `${what}: ${toBerthError(error).message}`, { container, cause: error });
  }
}

/** By container: what a create would write for the same ids. Throws what a create would throw, and for an image that is another one now. */
async function renderToday(rooms: Rooms, record: SandboxRecord): Promise<ReadonlyMap<string, DiffBundle>> {
  const images = new Map<string, RenderImage>();
  for (const { name, image = "", imageDigest } of record.containers) {
    const found = await readImageOfLayout(image);
    if (found.digest !== imageDigest)
      throw new BerthError("ImageNotFound", `${image} of container ${name} names ${found.digest} now, and was ${imageDigest}`);
    images.set(name, found);
  }
  const input = renderInput(rooms, record, {
    images,
    seccompProfiles: readSeccompProfiles(record.spec, rooms.config.seccompProfileDir),
    devices: readDevices(record.spec),
    places: new Map(record.containers.map(({ id, name }) => [name, { id, rootfs: rooms.rootfs.path(id) }])),
    namespaces: rooms.namespaces.paths(record.id),
  });
  return new Map(
    render(input).bundles.map(({ container, config, configJson }) => [
      container,
      { container, configJson, provenance: explain(input, container, config) },
    ]),
  );
}

/** None for a file that is not JSON, which is for whoever asked to see. */
function originsOf(configJson: string, today: DiffBundle): Origin[] {
  try {
    return originsOfWritten(configJson, today);
  } catch (error) {
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}
