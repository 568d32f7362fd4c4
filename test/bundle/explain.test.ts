import { readdirSync, readFileSync } from "node:fs";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { annotate, explain, type Origin } from "../../src/bundle/explain.ts";
import { type RenderInput, render } from "../../src/bundle/render.ts";
import { loadConfig } from "../../src/config.ts";
import { readSandboxDocument } from "../../src/sandbox/document.ts";
import { renderOffline } from "../../src/sandbox/offline.ts";
import { inputs } from "./arbitraries.ts";
import { type App, type Node, renderInput } from "./rendering.ts";

const DIGEST = `sha256:${"d".repeat(64)}`;
const FIXTURES = "bundles-fixtures";

/** JSON pointer and value of all that has nothing inside, found without a look at explain.ts. */
function leavesOf(value: unknown, pointer = ""): [string, unknown][] {
  if (typeof value !== "object" || value === null || Object.keys(value).length === 0) return [[pointer, value]];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`));
}

/** Each leaf of the text has exactly one origin, with a source, in the order of the file. */
function expectComplete(configJson: string, provenance: readonly Origin[]): void {
  const leaves = leavesOf(JSON.parse(configJson));
  expect(provenance.map(({ pointer }) => pointer)).toEqual(leaves.map(([pointer]) => pointer));
  expect(provenance.filter(({ source }) => source === "")).toEqual([]);
}

/** "kind: source" by pointer, of one container. */
function originsOf(input: RenderInput, container = "c0"): Map<string, string> {
  const { config } = bundleOf(input, container);
  return new Map(explain(input, container, config).map(({ pointer, kind, source }) => [pointer, `${kind}: ${source}`]));
}

function bundleOf(input: RenderInput, container: string) {
  const found = render(input).bundles.find((bundle) => bundle.container === container);
  if (!found) throw new Error(`no bundle of ${container}`);
  return found;
}

test("a mount is explained by the fields of its volumeMount and volume, and a shared one of pause by the runtime", () => {
  const volumes = [
    { name: "disk", emptyDir: {} },
    { name: "memory", emptyDir: { medium: "Memory", sizeLimit: 5 } },
    { name: "own", tmpfs: { sizeLimit: 5 } },
  ];
  const volumeMounts = [
    { name: "own", mountPath: "/deep/own" },
    { name: "disk", mountPath: "/disk", readOnly: true, recursiveReadOnly: "Enabled" },
  ];
  const input = renderInput([{ container: { volumeMounts } }], { sandbox: { volumes } });
  const found = originsOf(input);
  const at = (pointer: string): string | undefined => found.get(`/mounts/${pointer}`);
  const mount = "request: spec.containers[0].volumeMounts";
  expect(["7/destination", "7/type", "7/source"].map(at)).toEqual([
    ...[`${mount}[1].mountPath`, "request: spec.volumes[0].emptyDir", "placement: where berth made spec.volumes[0].emptyDir"],
  ]);
  expect([0, 1, 2, 3].map((index) => at(`7/options/${index}`))).toEqual([
    ...["default: mounts of volumes", `${mount}[1].readOnly`, `${mount}[1].recursiveReadOnly`, "default: mounts of volumes"],
  ]);
  expect(["8/destination", "8/type", "8/source"].map(at)).toEqual([
    ...[`${mount}[0].mountPath`, "request: spec.volumes[2].tmpfs", "request: spec.volumes[2].tmpfs"],
  ]);
  expect([2, 3, 4].map((index) => at(`8/options/${index}`))).toEqual([
    ...["request: spec.volumes[2].tmpfs.mode", "request: spec.volumes[2].tmpfs.sizeLimit", `${mount}[0].readOnly`],
  ]);
  const pause = originsOf({ ...input, adapter: "runsc" }, "pause");
  const shared = pause.get("/annotations/dev.gvisor.spec.mount.memory.share");
  expect(shared).toBe("runtime: runsc shares a memory volume between containers when pause names it");
  expect(pause.get("/annotations/io.kubernetes.cri.sandbox-id")).toContain("placement: ");
});

test("a host path and its propagation are explained by the request", () => {
  const volumes = [{ name: "host", hostPath: { path: "/srv" } }];
  const volumeMounts = [{ name: "host", mountPath: "/host", mountPropagation: "HostToContainer" }];
  const found = originsOf(renderInput([{ container: { volumeMounts } }], { sandbox: { volumes } }));
  expect(["/mounts/7/source", "/mounts/7/options/2", "/linux/rootfsPropagation"].map((pointer) => found.get(pointer))).toEqual([
    "request: spec.volumes[0].hostPath.path",
    ...Array.from({ length: 2 }, () => "request: spec.containers[0].volumeMounts[0].mountPropagation"),
  ]);
});

const explained = (app: App, node: Node = {}) => originsOf(renderInput([app], { digest: DIGEST, ...node }));

test("every leaf of every golden bundle has one origin", async () => {
  for (const name of readdirSync(FIXTURES)) {
    const { request } = readSandboxDocument(readFileSync(`${FIXTURES}/${name}/sandbox.yaml`, "utf8"), "sandbox.yaml");
    const imageConfigs = new Map([["", readFileSync(`${FIXTURES}/${name}/image.json`, "utf8")]]);
    const own = readdirSync(`${FIXTURES}/${name}`).includes("berth.yaml");
    const config = await loadConfig(own ? `${FIXTURES}/${name}/berth.yaml` : "/dev/null");
    for (const runtimeClassName of ["runsc", "runc", "crun"]) {
      const ofClass = { ...request, spec: { ...request.spec, runtimeClassName } };
      const { bundles } = await renderOffline(ofClass, { config, imageConfigs, node: undefined });
      expect(bundles.length).toBeGreaterThan(1);
      for (const { configJson, provenance } of bundles) expectComplete(configJson, provenance);
    }
  }
});

test("every leaf of random bundles has one origin, and stands on a line of its own with it", () => {
  fc.assert(
    fc.property(inputs, fc.boolean(), (input, withoutCgroup) => {
      const node = withoutCgroup ? { ...input, cgroup: undefined } : input;
      for (const { container, config, configJson } of render(node).bundles) {
        const provenance = explain(node, container, config);
        expectComplete(configJson, provenance);
        expectAnnotated(configJson, provenance);
      }
    }),
    { numRuns: 150 },
  );
});

/** The text is unchanged but for the origins, which follow each other behind the lines of leaves. */
function expectAnnotated(configJson: string, provenance: readonly Origin[]): void {
  const written = configJson.trimEnd().split("\n");
  const shown = annotate(configJson, provenance).split("\n");
  expect(shown).toHaveLength(written.length);
  const behind = shown.flatMap((line, index) => {
    const text = written[index] ?? "";
    expect(line.startsWith(text)).toBe(true);
    const rest = line.slice(text.length);
    return rest === "" ? [] : [rest.trimStart()];
  });
  expect(behind).toEqual(provenance.map(({ kind, source }) => `# ${kind}: ${source}`));
}

test("values that look like the JSON around them have their origin behind them too", () => {
  const odd = ["[", "]", "{", "}", "],", "},", "[]", "{}", '"', "\\", "a\nb", "# x", " ", ""];
  const input = renderInput([{ container: { command: ["x", ...odd], env: [{ name: "A", value: "[" }] } }]);
  const { config, configJson } = bundleOf(input, "c0");
  const provenance = explain(input, "c0", config);
  expectAnnotated(configJson, provenance);
  const lines = annotate(configJson, provenance).split("\n");
  expect(lines.filter((line) => /# request: spec\.containers\[0\]\.command\[\d+\]$/.test(line))).toHaveLength(odd.length + 1);
  expect(lines).toContainEqual(expect.stringMatching(/^ {6}"A=\[" +# request: spec\.containers\[0\]\.env\[0\]$/));
});

test("origins that are missing are a fault, not a wrong line", () => {
  const input = renderInput([{}]);
  const { config, configJson } = bundleOf(input, "c0");
  expect(() => annotate(configJson, explain(input, "c0", config).slice(1))).toThrow(/no origin/);
});

test("a value that nobody can account for is a fault, named by its pointer", () => {
  const input = renderInput([{}]);
  const { config } = bundleOf(input, "c0");
  const odd = { ...config, "a/b~c": { d: 1 } } as typeof config;
  expect(() => explain(input, "c0", odd)).toThrow("the value at /a~1b~0c/d of c0's config.json has no origin");
  for (const part of [{ process: { x: 1 } }, { process: { user: { x: 1 } } }, { linux: { x: 1 } }]) {
    expect(() => explain(input, "c0", { ...config, ...part } as unknown as typeof config)).toThrow(/has no origin/);
  }
  expect(() => explain(input, "other", config)).toThrow("there is no container other");
});

test("very many values take neither a deep call nor quadratic time", () => {
  const count = 150_000;
  const env = Array.from({ length: count }, (_, index) => ({ name: `V${index}`, value: "" }));
  const input = renderInput([{ container: { env }, image: { env: env.map(({ name }) => `${name}=`) } }]);
  const { config, configJson } = bundleOf(input, "c0");
  const started = performance.now();
  expect(annotate(configJson, explain(input, "c0", config)).split("\n").length).toBeGreaterThan(count);
  expect(performance.now() - started).toBeLessThan(10_000);
});

const RICH: App = {
  container: {
    args: ["serve"],
    env: [
      { name: "MODE", value: "a" },
      { name: "MODE", value: "b" },
    ],
    securityContext: {
      runAsGroup: 60,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      umask: 0o77,
      capabilities: { add: ["CHOWN", "ALL"], drop: ["SYS_ADMIN"], ambient: "auto" },
    },
  },
  image: {
    entrypoint: ["/app", "--x"],
    cmd: ["lost"],
    env: ["PATH=/app", "LANG=C", "LANG=D", "MODE=i"],
    user: "web:web",
    workingDir: "/srv",
  },
  users: { passwd: "web:x:1000:100::/:\n", group: "web:x:100:\nlist:x:9:web\nmany:x:12:u7\n" },
};

test("a table of origins of a rich case", () => {
  const sandbox = { hostname: "ship", securityContext: { runAsUser: 7, runAsGroup: 8, supplementalGroups: [5, 60, 5] } };
  const users = { passwd: "u7:x:7:70::/:\n", group: "many:x:12:u7\n" };
  const found = explained({ ...RICH, users }, { sandbox });
  const own = "spec.containers[0]";
  expect(Object.fromEntries([...found].filter(([pointer]) => /^\/(process|root|ociVersion)/.test(pointer)))).toMatchObject({
    "/ociVersion": "runtime: crun 1.8 refuses newer versions",
    "/process/terminal": "default: no terminal",
    "/process/user/uid": "request: spec.securityContext.runAsUser",
    "/process/user/gid": `request: ${own}.securityContext.runAsGroup`,
    "/process/user/additionalGids/0": `request: ${own}.securityContext.runAsGroup`,
    "/process/user/additionalGids/1": "request: spec.securityContext.supplementalGroups[0]",
    "/process/user/additionalGids/2": `image: /etc/group of ${DIGEST}`,
    "/process/user/umask": `request: ${own}.securityContext.umask`,
    "/process/args/0": `image: Entrypoint[0] of ${DIGEST}`,
    "/process/args/1": `image: Entrypoint[1] of ${DIGEST}`,
    "/process/args/2": `request: ${own}.args[0]`,
    "/process/env/0": `image: Env[0] of ${DIGEST}`,
    "/process/env/1": `image: Env[2] of ${DIGEST}`,
    "/process/env/2": `request: ${own}.env[1]`,
    "/process/cwd": `image: WorkingDir of ${DIGEST}`,
    "/process/capabilities/bounding/0": `request: ${own}.securityContext.capabilities.add[0]`,
    "/process/capabilities/bounding/1": `request: ${own}.securityContext.capabilities.add[1]`,
    "/process/capabilities/bounding/5": "default: capabilities of every container",
    "/process/capabilities/ambient/0": `request: ${own}.securityContext.capabilities.ambient`,
    "/process/rlimits/0/type": "default: limit of every container",
    "/process/noNewPrivileges": `request: ${own}.securityContext.allowPrivilegeEscalation`,
    "/root/path": "placement: where berth mounted the root filesystem",
    "/root/readonly": `request: ${own}.securityContext.readOnlyRootFilesystem`,
  });
  expect(found.get("/linux/cgroupsPath")).toBe("placement: cgroupRoot, and the ids of sandbox and container");
  expect(found.get("/linux/namespaces/0/type")).toBe("default: namespaces of every container");
  expect(found.get("/linux/namespaces/2/path")).toBe("placement: made and pinned before pause starts");
  expect(found.get("/linux/maskedPaths/0")).toBe("default: kept from every container under a runtime that shares the host's kernel");
  expect(found.get("/mounts/0/type")).toBe("default: mounts of every container under a runtime that shares the host's kernel");
  expect(found.get("/annotations/io.kubernetes.cri.sandbox-id")).toMatch(/^placement: /);
});

test("who nobody speaks for is root by default, and groups of root that the image lists are the image's", () => {
  const users = { passwd: "root:x:0:3::/:\n", group: "bin:x:1:root\n" };
  expect(explained({ users }).get("/process/user/gid")).toBe("default: root");
  const found = explained({ users }, { sandbox: { securityContext: { supplementalGroups: [2] } } });
  const ofRoot = `image: group of user 0 in /etc/passwd (0 when it has none) of ${DIGEST}`;
  expect([...found].filter(([pointer]) => pointer.startsWith("/process/user"))).toEqual([
    ["/process/user/uid", "default: root"],
    ["/process/user/gid", ofRoot],
    ["/process/user/additionalGids/0", ofRoot],
    ["/process/user/additionalGids/1", `image: /etc/group of ${DIGEST}`],
    ["/process/user/additionalGids/2", "request: spec.securityContext.supplementalGroups[0]"],
  ]);
});

test("the group of an image's user is that of USER, else that of /etc/passwd", () => {
  const users = RICH.users ?? {};
  const gid = (user: string) => explained({ image: { user }, users }).get("/process/user/gid");
  expect(gid("web:web")).toBe(`image: User of ${DIGEST}`);
  expect(gid("web")).toBe(`image: group of user web in /etc/passwd (0 when it has none) of ${DIGEST}`);
  expect(gid(":web")).toBe(`image: User of ${DIGEST}`);
});

test("what stands in for nothing said: the default PATH, folder and root", () => {
  const found = explained({});
  expect(found.get("/process/env/0")).toBe("default: PATH where nobody sets one");
  expect(found.get("/process/cwd")).toBe("default: the root folder");
  expect(found.get("/root/readonly")).toBe("default: writable unless asked otherwise");
  expect(found.get("/process/args/0")).toBe(`image: Cmd[0] of ${DIGEST}`);
});

test("without an image's digest the config that was given is named", () => {
  expect(originsOf(renderInput([{}])).get("/process/args/0")).toBe("image: Cmd[0] of the image config that was given");
});

test("sets that are empty or made so by the node say by whom", () => {
  const dropped = explained({ container: { securityContext: { capabilities: { drop: ["ALL"] } } } });
  expect(dropped.get("/process/capabilities/bounding")).toBe("request: spec.containers[0].securityContext.capabilities.drop");
  const node: Node = { capabilityMode: "no-inheritable" };
  expect(explained({}, node).get("/process/capabilities/inheritable")).toBe("node: capabilityMode: no-inheritable");
  const ambient = { container: { securityContext: { runAsUser: 1, capabilities: { ambient: ["KILL"] } } } };
  const list = "request: spec.containers[0].securityContext.capabilities.ambient";
  expect(explained(ambient, node).get("/process/capabilities/inheritable/0")).toBe(list);
  const readded = { container: { securityContext: { capabilities: { drop: ["ALL"], add: ["KILL"] } } } };
  expect(explained(readded).get("/process/capabilities/bounding/0")).toBe(
    "request: spec.containers[0].securityContext.capabilities.add[0]",
  );
});

test("runsc's own ways are named: limits that leak, and resources that must be there", () => {
  for (const container of ["c0", "pause"]) {
    const found = originsOf(renderInput([{}], { adapter: "runsc" }), container);
    expect(found.get("/process/rlimits/0/type")).toMatch(/^runtime: runsc lets limits/);
    expect(found.get("/linux/resources")).toBe("runtime: a current runsc's update crashes without it");
    expect(found.get("/mounts/0/options")).toBe("default: mounts of every container under a runtime with a kernel of its own");
  }
});

test("pause is berth's own, but for its host name, which is the request's", () => {
  const input = renderInput([RICH], { digest: DIGEST });
  const kinds = [...originsOf(input, "pause")].map(([pointer, origin]) => `${pointer.split("/")[1]} ${origin.split(":")[0]}`);
  expect(kinds.filter((kind) => /image|request/.test(kind))).toEqual(["hostname request"]);
  expect(originsOf(input, "pause").get("/hostname")).toBe("request: metadata.name");
  expect(originsOf(renderInput([{}], { sandbox: { hostname: "h" } }), "pause").get("/hostname")).toBe("request: spec.hostname");
});

/** A change to what one origin names. */
type Change = (input: RenderInput) => RenderInput;

type Container = RenderInput["request"]["spec"]["containers"][number];
const inContainer =
  (change: (container: Container) => Container): Change =>
  (input) => {
    const { request } = input;
    const [first, ...others] = request.spec.containers;
    if (!first) throw new Error("no container");
    return { ...input, request: { ...request, spec: { ...request.spec, containers: [change(first), ...others] } } };
  };
const inImage =
  (change: (config: NonNullable<ReturnType<RenderInput["images"]["get"]>>["config"]) => object): Change =>
  (input) => {
    const image = input.images.get("c0");
    if (!image) throw new Error("no image");
    return { ...input, images: new Map([...input.images, ["c0", { ...image, config: { ...image.config, ...change(image.config) } }]]) };
  };
const inContext = (change: (context: Container["securityContext"]) => object): Change =>
  inContainer((container) => ({ ...container, securityContext: { ...container.securityContext, ...change(container.securityContext) } }));
const inSandbox =
  (change: object): Change =>
  (input) => ({ ...input, request: { ...input.request, spec: { ...input.request.spec, ...change } } });
const inSandboxContext =
  (change: object): Change =>
  (input) =>
    inSandbox({ securityContext: { ...input.request.spec.securityContext, ...change } })(input);

const NEW_ID = 77_777;
const replaced = <T>(list: readonly T[], index: number, value: T): T[] => list.with(index, value);

/** What changes the thing that an origin names, so that a value with this origin must change; undefined where no one field is named. */
function changeOf(origin: string): Change | undefined {
  const index = Number(/\[(\d+)\](?: of .*)?$/.exec(origin)?.[1]);
  const own = origin.replace(/^request: spec\.containers\[0\]\./, "").replace(/\[\d+\]$/, "");
  const ofImage = /^image: (Entrypoint|Cmd|Env|WorkingDir|User)\b/.exec(origin)?.[1];
  switch (ofImage ?? own) {
    case "Entrypoint":
      return inImage(({ entrypoint }) => ({ entrypoint: replaced(entrypoint, index, "new") }));
    case "Cmd":
      return inImage(({ cmd }) => ({ cmd: replaced(cmd, index, "new") }));
    case "Env":
      return inImage(({ env }) => ({ env: env.map((entry, at) => (at === index ? `${entry}+` : entry)) }));
    case "WorkingDir":
      return inImage(() => ({ workingDir: "/new" }));
    case "User":
      return inImage(() => ({ user: `${NEW_ID}:${NEW_ID}` }));
    case "command":
      return inContainer((container) => ({ ...container, command: replaced(container.command, index, "new") }));
    case "args":
      return inContainer((container) => ({ ...container, args: replaced(container.args, index, "new") }));
    case "env":
      return inContainer((container) => ({
        ...container,
        env: container.env.map((variable, at) => (at === index ? { ...variable, value: "new value" } : variable)),
      }));
    case "workingDir":
      return inContainer((container) => ({ ...container, workingDir: "/new" }));
    case "securityContext.runAsUser":
      return inContext(() => ({ runAsUser: NEW_ID }));
    case "securityContext.runAsGroup":
      return inContext(() => ({ runAsGroup: NEW_ID }));
    case "securityContext.umask":
      return inContext(({ umask = 0 }) => ({ umask: umask ^ 1 }));
    case "securityContext.readOnlyRootFilesystem":
      return inContext(({ readOnlyRootFilesystem }) => ({ readOnlyRootFilesystem: !readOnlyRootFilesystem }));
    case "securityContext.allowPrivilegeEscalation":
      return inContext(() => ({ allowPrivilegeEscalation: true }));
    case "request: spec.securityContext.runAsUser":
      return inSandboxContext({ runAsUser: NEW_ID });
    case "request: spec.securityContext.runAsGroup":
      return inSandboxContext({ runAsGroup: NEW_ID });
    default:
      return undefined;
  }
}

/** Text of each value, by pointer. */
const valuesOf = (input: RenderInput): Map<string, string> =>
  new Map(leavesOf(JSON.parse(bundleOf(input, "c0").configJson)).map(([pointer, value]) => [pointer, JSON.stringify(value)]));

/** $(NAME) would let one field reach into the values of another. */
const plain = inputs.filter((input) => !JSON.stringify(input.request).includes("$"));

// Some ten thousand renderings: more than a busy machine does in the usual time.
test("change what an origin names, and its value changes, while values with another origin stay", { timeout: 120_000 }, () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(plain, (input) => {
      const origins = originsOf(input);
      const before = valuesOf(input);
      for (const origin of new Set(origins.values())) {
        const change = changeOf(origin);
        if (!change) continue;
        seen.add(origin.replace(/\d+/g, "N").replace(/ of .*/, ""));
        const changed = change(input);
        const after = valuesOf(changed);
        for (const [pointer, from] of origins) {
          // A user other than before has other groups and other ambient capabilities; their origins are looked at below.
          if (/runAsUser|User/.test(origin) && !pointer.startsWith("/process/user/uid")) continue;
          if (/\/additionalGids\//.test(pointer)) continue;
          const same = after.get(pointer) === before.get(pointer);
          expect(same, `${origin} changed: ${pointer} from ${from}`).toBe(from !== origin);
        }
      }
    }),
    { numRuns: 250 },
  );
  expect([...seen].toSorted()).toEqual([
    "image: Cmd[N]",
    "image: Entrypoint[N]",
    "image: Env[N]",
    "image: User",
    "image: WorkingDir",
    "request: spec.containers[N].args[N]",
    "request: spec.containers[N].command[N]",
    "request: spec.containers[N].env[N]",
    "request: spec.containers[N].securityContext.allowPrivilegeEscalation",
    "request: spec.containers[N].securityContext.readOnlyRootFilesystem",
    "request: spec.containers[N].securityContext.runAsGroup",
    "request: spec.containers[N].securityContext.runAsUser",
    "request: spec.containers[N].securityContext.umask",
    "request: spec.containers[N].workingDir",
    "request: spec.securityContext.runAsGroup",
    "request: spec.securityContext.runAsUser",
  ]);
});

test("a capability whose origin is an add goes with that add; one by default stays whatever is added", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const origins = originsOf(input);
      const before = valuesOf(input);
      for (const [pointer, origin] of origins) {
        if (!pointer.startsWith("/process/capabilities/bounding/")) continue;
        const bounding = (add: (index: number) => boolean): readonly string[] => {
          const without = inContext(({ capabilities }) => ({
            capabilities: { ...capabilities, add: capabilities.add.filter((name, at) => name !== "ALL" && add(at)), ambient: "never" },
            privileged: false,
          }));
          return bundleOf(without(input), "c0").config.process.capabilities.bounding;
        };
        const named = Number(/add\[(\d+)\]$/.exec(origin)?.[1] ?? -1);
        const there = bounding((at) => at !== named).includes(String(JSON.parse(before.get(pointer) ?? "")));
        expect(there, `${pointer} ${String(before.get(pointer))} from ${origin}`).toBe(origin.startsWith("default: "));
      }
    }),
    { numRuns: 150 },
  );
});

test("a group's origin: primary as gid, one that was asked for is in the request, any other in the image", () => {
  fc.assert(
    fc.property(inputs, (input) => {
      const origins = originsOf(input);
      const { additionalGids = [] } = bundleOf(input, "c0").config.process.user;
      const asked = input.request.spec.securityContext.supplementalGroups;
      for (const [at, group] of additionalGids.entries()) {
        const origin = origins.get(`/process/user/additionalGids/${at}`);
        if (at === 0) expect(origin).toBe(origins.get("/process/user/gid"));
        else if (asked.includes(group)) expect(origin).toBe(`request: spec.securityContext.supplementalGroups[${asked.indexOf(group)}]`);
        else expect(origin).toMatch(/^image: \/etc\/group of /);
      }
    }),
    { numRuns: 150 },
  );
});

test("the host name follows what its origin names, and nothing else of the file does", () => {
  for (const hostname of ["", "h"]) {
    const input = renderInput([{}], { sandbox: { hostname } });
    const renamed = { ...input, request: { ...input.request, metadata: { ...input.request.metadata, name: "other" } } };
    const rehosted = inSandbox({ hostname: "other" })(input);
    const hostOf = (changed: RenderInput) => bundleOf(changed, "pause").config.hostname;
    expect(hostOf(renamed)).toBe(originsOf(input, "pause").get("/hostname") === "request: metadata.name" ? "other" : "h");
    expect(hostOf(rehosted)).toBe("other");
    for (const changed of [renamed, rehosted]) {
      expect(bundleOf(changed, "c0")).toEqual(bundleOf(input, "c0"));
      expect({ ...bundleOf(changed, "pause").config, hostname: "" }).toEqual({ ...bundleOf(input, "pause").config, hostname: "" });
    }
  }
});
