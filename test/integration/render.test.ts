/** One function renders what a create writes, what Sandboxes.Render answers and what `berth render` writes. */

import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { render, type RenderInput } from "../../src/bundle/render.ts";
import { refusalOf } from "../../src/api/client.ts";
import { busyboxImage } from "../../src/dev/test-image.ts";
import { type Enforcement, StorageMedium } from "../../src/gen/berth/v1/sandbox_pb.js";
import type { ImageConfig } from "../../src/image/image.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { WIDE_POLICY, CLASSES, TestNode } from "./node.ts";
import { endNode, TestSandbox } from "./support/sandbox.ts";

/** As a document, which the API's message and the request are both made from. */
interface Document {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly runtimeClassName: string;
    readonly containers: readonly DocumentContainer[];
    readonly volumes: readonly DocumentVolume[];
  };
}

interface DocumentVolume {
  readonly name: string;
  readonly emptyDir: { medium?: "Memory" };
}

interface DocumentContainer {
  readonly name: string;
  readonly image: string;
  readonly command?: string[];
  readonly args?: string[];
  readonly env?: { name: string; value: string }[];
  readonly workingDir?: string;
  readonly securityContext?: { runAsUser?: number; runAsGroup?: number; capabilities?: { add?: string[]; drop?: string[] } };
  readonly volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
}

const USERS = { passwd: "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n", group: "root:x:0:\nweb:x:34:\nlogs:x:50:web\n" };

const PLAIN: ImageConfig = { entrypoint: ["/bin/sleep"], cmd: ["1000"], env: [], user: "", workingDir: "", stopSignal: "" };
const FULL: ImageConfig = {
  entrypoint: ["/bin/sh", "-c"],
  cmd: ["sleep 1000"],
  env: ["PATH=/bin", "GREETING=hello"],
  user: "web",
  workingDir: "/tmp",
  stopSignal: "SIGINT",
};

let node: TestNode;
let plain: string;
let full: string;

beforeAll(async () => {
  node = await TestNode.start({ policy: WIDE_POLICY });
  const image = (name: string, { entrypoint, cmd, env, user, workingDir, stopSignal }: ImageConfig): string =>
    busyboxImage(join(node.dir, name), {
      config: { Entrypoint: entrypoint, Cmd: cmd, Env: env, User: user, WorkingDir: workingDir, StopSignal: stopSignal },
      extraFiles: { "etc/passwd": USERS.passwd, "etc/group": USERS.group },
    });
  plain = image("plain", PLAIN);
  full = image("full", FULL);
});

afterAll(async () => await endNode(node));

test("bundles are still there when a sandbox has ended; without its image nobody knows where values come from", async () => {
  const image = busyboxImage(join(node.dir, "going"), { config: { Cmd: ["true"] } });
  await using sandbox = await TestSandbox.create(node, "ended", { runtimeClassName: "crun", containers: [{ name: "app", image }] });
  await sandbox.completed();
  const target = { case: "name" as const, value: { name: "ended" } };
  expect(await node.sandboxes.getBundles({ target })).toMatchObject({
    bundles: [{ container: "pause" }, { container: "app" }],
    warnings: [],
  });
  rmSync(join(node.dir, "going"), { recursive: true });
  const { bundles, warnings } = await node.sandboxes.getBundles({ target });
  expect(bundles.map(({ provenance }) => provenance.length)).toEqual([0, 0]);
  expect(warnings).toEqual([expect.stringContaining("the sandbox cannot be rendered again")]);
  rmSync(join(node.state, "bundles", sandbox.id), { recursive: true });
  const refusal = await node.sandboxes.getBundles({ target }).catch(refusalOf);
  expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "WrongState" });
});

function document(runtimeClassName: string): Document {
  const containers: DocumentContainer[] = [
    { name: "nothing", image: plain },
    { name: "image-says", image: full },
    {
      name: "much",
      image: full,
      args: ["echo $(TARGET); sleep 1000"],
      env: [
        { name: "WHO", value: "world" },
        { name: "TARGET", value: "$(WHO)s" },
        { name: "GREETING", value: "bye" },
      ],
      workingDir: "/home/app",
      securityContext: { runAsUser: 1000, runAsGroup: 1000, capabilities: { add: ["net_admin", "CAP_SETUID"], drop: ["KILL"] } },
      volumeMounts: [
        { name: "memory", mountPath: "/data/memory" },
        { name: "disk", mountPath: "/data", readOnly: true },
      ],
    },
    { name: "less", image: plain, command: ["/bin/sleep", "999"], securityContext: { capabilities: { drop: ["ALL"] } } },
  ];
  const volumes: DocumentVolume[] = [
    { name: "disk", emptyDir: {} },
    { name: "memory", emptyDir: { medium: "Memory" } },
  ];
  return { metadata: { name: "rendered" }, spec: { runtimeClassName, containers, volumes } };
}

/** The document as a message: ids are bigint there. */
function message({ metadata, spec }: Document) {
  const containers = spec.containers.map(({ securityContext: { runAsUser, runAsGroup, ...rest } = {}, ...container }) => ({
    ...container,
    securityContext: {
      ...rest,
      ...(runAsUser === undefined ? {} : { runAsUser: BigInt(runAsUser) }),
      ...(runAsGroup === undefined ? {} : { runAsGroup: BigInt(runAsGroup) }),
    },
  }));
  const volumes = spec.volumes.map(({ name, emptyDir: { medium } }) => ({
    name,
    source: { case: "emptyDir" as const, value: { medium: medium === "Memory" ? StorageMedium.MEMORY : StorageMedium.UNSPECIFIED } },
  }));
  return { metadata, spec: { ...spec, containers, volumes } };
}

interface Bundle {
  readonly container: string;
  readonly configJson: string;
}

/** The files that the node has for a sandbox. */
function written(sandbox: TestSandbox): Bundle[] {
  const dir = join(node.state, "bundles", sandbox.id);
  return readdirSync(dir).map((container) => ({ container, configJson: readFileSync(join(dir, container, "config.json"), "utf8") }));
}

const byName = (bundles: readonly Bundle[]): Map<string, string> =>
  new Map(bundles.map(({ container, configJson }) => [container, configJson]));

/** What a create has in hand when it renders, put together here from what the API shows of the sandbox. */
async function inputOf(sandbox: TestSandbox, wanted: Document, adapter: RenderInput["adapter"]): Promise<RenderInput> {
  const info = (await node.info.info({})).runtimeClasses.find(({ name }) => name === wanted.spec.runtimeClassName);
  const at = (kind: string): string => `${node.run}/ns/${sandbox.id}/${kind}`;
  return {
    request: parseSandboxRequest(wanted),
    adapter,
    capabilityMode: "merged",
    traits: { ambient: false, umask: false, setuid: false, execSeccomp: false, recursiveReadOnly: true },
    node: undefined,
    seccompProfiles: new Map(),
    devices: new Map(),
    architecture: "x86-64",
    images: new Map(
      wanted.spec.containers.map(({ name, image }) => [name, { config: image === full ? FULL : PLAIN, users: USERS, digest: undefined }]),
    ),
    pause: { id: sandbox.containerId("pause"), rootfs: `${node.state}/pause/rootfs` },
    places: new Map(
      wanted.spec.containers.map(({ name }) => {
        const id = sandbox.containerId(name);
        return [name, { id, rootfs: `${node.state}/containers/${id}/rootfs` }];
      }),
    ),
    hosts: "",
    volumes: new Map([
      ["disk", `${node.state}/volumes/${sandbox.id}/disk`],
      ["memory", `${node.run}/v/${sandbox.id}/memory`],
    ]),
    namespaces: { net: at("net"), ipc: at("ipc"), uts: at("uts") },
    cgroup: info?.features.includes("ignore-cgroups") ? undefined : `${node.cgroupRoot}/${sandbox.id}`,
  };
}

/** Ids and places of this node for those that are rendered without one: 0…0 for pause, then the apps in their order. */
function withPlaceholders(sandbox: TestSandbox, wanted: Document, configJson: string): string {
  const names = ["pause", ...wanted.spec.containers.map(({ name }) => name)];
  const placed = configJson.replaceAll(`${node.state}/`, "/var/lib/berth/").replaceAll(`${node.run}/`, "/run/berth/");
  return names.reduce((text, name, index) => text.replaceAll(sandbox.containerId(name), index.toString(16).padStart(32, "0")), placed);
}

const plainEnforcement = (entries: readonly Enforcement[]) =>
  entries.map(({ container, property, requested, enforced, mechanism, note }) => ({
    container,
    property,
    requested,
    enforced,
    mechanism,
    note,
  }));

describe.each(CLASSES)("under $name", ({ name, adapter }) => {
  let wanted: Document;
  let sandbox: TestSandbox;

  beforeAll(async () => {
    wanted = document(name);
    sandbox = await TestSandbox.create(node, wanted.metadata.name, message(wanted).spec);
  });

  afterAll(async () => await sandbox.delete());

  test("a running sandbox's config.json files are what render gives for its ids and places, byte for byte, and only root reads them", async () => {
    const rendered = render(await inputOf(sandbox, wanted, adapter));
    expect(rendered.bundles.map(({ container }) => container)).toEqual(["pause", "nothing", "image-says", "much", "less"]);
    expect(byName(written(sandbox))).toEqual(byName(rendered.bundles));
    const dir = join(node.state, "bundles", sandbox.id, "much");
    expect([statSync(dir).mode & 0o777, statSync(join(dir, "config.json")).mode & 0o777]).toEqual([0o700, 0o600]);
  });

  test("Sandboxes.Render answers the same but for ids and places, and the same report", async () => {
    const answer = await node.sandboxes.render(message(wanted));
    const expected = written(sandbox).map((bundle) => ({ ...bundle, configJson: withPlaceholders(sandbox, wanted, bundle.configJson) }));
    expect(byName(answer.bundles)).toEqual(byName(expected));
    expect(plainEnforcement(answer.enforcement)).toEqual(plainEnforcement(sandbox.status.enforcement));
    expect(answer.enforcement.length).toBeGreaterThan(3);
    expect(answer.warnings).toEqual(sandbox.status.warnings);
    expect(answer.warnings).not.toEqual([]);
  });

  test("berth render writes the same but for ids and places, without a berthd", async () => {
    const file = join(node.dir, `${name}.json`);
    const out = join(node.dir, `out-${name}`);
    writeFileSync(file, JSON.stringify({ apiVersion: "berth/v1", kind: "Sandbox", ...wanted }));
    const result = await node.berth("render", "-f", file, "--out", out, "--config", join(node.dir, "berth.yaml"));
    expect(result).toMatchObject({ exitCode: 0 });
    const bundles = readdirSync(out).map((container) => ({
      container,
      configJson: readFileSync(join(out, container, "config.json"), "utf8"),
    }));
    const expected = written(sandbox).map((bundle) => ({ ...bundle, configJson: withPlaceholders(sandbox, wanted, bundle.configJson) }));
    expect(byName(bundles)).toEqual(byName(expected));
  });

  test("Sandboxes.GetBundles answers the files of the node, with the origin of every value", async () => {
    const { bundles, warnings } = await node.sandboxes.getBundles({ target: { case: "id", value: sandbox.id } });
    expect(byName(bundles)).toEqual(byName(written(sandbox)));
    expect(warnings).toEqual([]);
    // Placeholders have a cgroup, a sandbox has none where the runtime is told to leave cgroups alone.
    const origins = (all: typeof bundles) =>
      all.map(({ provenance }) => provenance.filter(({ pointer }) => pointer !== "/linux/cgroupsPath"));
    expect(origins(bundles)).toEqual(origins((await node.sandboxes.render(message(wanted))).bundles));
  });

  test("berth diff finds nothing between a sandbox and its file, and names what the file changed or somebody changed on the node", async () => {
    const diff = (document: object, ...more: string[]) => {
      const file = join(node.dir, `${name}-diff.json`);
      writeFileSync(file, JSON.stringify({ apiVersion: "berth/v1", kind: "Sandbox", ...document }));
      return node.berth("diff", file, sandbox.name, "--config", join(node.dir, "berth.yaml"), ...more);
    };
    expect(await diff(wanted)).toMatchObject({ exitCode: 0, stdout: "" });

    const [first, ...others] = wanted.spec.containers;
    const changed = { ...wanted, spec: { ...wanted.spec, containers: [{ ...first, workingDir: "/srv" }, ...others] } };
    const report = await diff(changed);
    expect(report.exitCode).toBe(1);
    expect(report.stdout).toMatch(
      /\n\nnothing: \/process\/cwd\n {2}- "\/srv" {2}# request: spec\.containers\[0\]\.workingDir\n {2}\+ "\/" {5}# default: the root folder\n?$/,
    );

    const path = join(node.state, "bundles", sandbox.id, "less", "config.json");
    const before = readFileSync(path, "utf8");
    try {
      writeFileSync(path, before.replace('"999"', '"9999"'));
      const answer = await diff(wanted, "-o", "json");
      expect(answer.exitCode).toBe(1);
      expect(JSON.parse(answer.stdout)).toMatchObject({
        differences: [
          {
            container: "less",
            a: { pointer: "/process/args/1", value: "999", origin: { kind: "request", source: "spec.containers[3].command[1]" } },
            b: { pointer: "/process/args/1", value: "9999", origin: null },
          },
        ],
        warnings: [expect.stringContaining("config.json of less is not what berthd would write today")],
      });
    } finally {
      writeFileSync(path, before);
    }
  });

  test("what was rendered is what runs: the environment, folder and words of an app", async () => {
    expect(await sandbox.told("much", "worlds")).toBe("worlds\n");
  });
});
