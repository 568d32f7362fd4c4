import { expect, test } from "vitest";
import { loadConfig } from "../../src/config.ts";
import { traitsOfVersion } from "../../src/runtime/probe.ts";
import { renderOffline } from "../../src/sandbox/offline.ts";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";

const CONFIG = await loadConfig("/dev/null");

/** An app of uid 1000 that needs ambient capabilities, in a class. */
function request(runtimeClassName = "", image = "oci:/no/such/image") {
  const securityContext = { runAsUser: 1000, capabilities: { add: ["NET_ADMIN"], ambient: "auto" } };
  return parseSandboxRequest({
    metadata: { name: "box" },
    spec: { runtimeClassName, containers: [{ name: "web", image, securityContext }] },
  });
}
const image = (config: object): Map<string, string> => new Map([["", JSON.stringify({ config: { Cmd: ["sh"], ...config } })]]);
const options = { config: CONFIG, imageConfigs: image({}), node: undefined };

test("a runsc whose class declares no version is a current one, which knows ambient", async () => {
  expect((await renderOffline(request(), options)).warnings).toEqual([]);
});

test("a declared version changes the report and no byte of a bundle", async () => {
  const old = { name: "old", aliases: [], adapter: "runsc" as const, binary: "runsc", flags: [], version: "release-20240729.0" };
  const config = { ...CONFIG, runtimeClasses: [...CONFIG.runtimeClasses, old] };
  const [current, declared] = [await renderOffline(request(), options), await renderOffline(request("old"), { ...options, config })];
  expect(declared.bundles).toEqual(current.bundles);
  expect(declared.warnings).toHaveLength(2);
  expect(
    (await renderOffline(request("old"), { ...options, config, traitsOf: async () => traitsOfVersion("runsc", "release-20260905.0") }))
      .warnings,
  ).toEqual([]);
});

test("a container's own image config comes before the one for all", async () => {
  const imageConfigs = new Map([...image({}), ["web", JSON.stringify({ config: { Cmd: ["own"] } })]]);
  const { bundles } = await renderOffline(request(), { ...options, imageConfigs });
  expect(bundles[1]?.config.process.args).toEqual(["own"]);
});

test("the cgroup is below the node's root, ids and paths are placeholders of a default node", async () => {
  const { bundles } = await renderOffline(request(), { ...options, config: { ...CONFIG, cgroupRoot: "/a/b" } });
  expect(bundles.map(({ config }) => config.linux.cgroupsPath)).toEqual([
    `/a/b/${"0".repeat(32)}/${"0".repeat(32)}`,
    `/a/b/${"0".repeat(32)}/${"1".padStart(32, "0")}`,
  ]);
  expect(bundles[1]?.config.root.path).toMatch(/^\/var\/lib\/berth\//);
});

test.each([
  ["an image that is not there", new Map<string, string>(), { reason: "ImageNotFound" }],
  ["an image config that is no JSON", new Map([["", "{"]]), { reason: "ImageInvalid" }],
  ["a stop signal that a create would refuse", image({ StopSignal: "SIGNOPE" }), { reason: "ImageInvalid" }],
])("%s is refused with its stage and container", async (_title, imageConfigs, expected) => {
  await expect(renderOffline(request(), { ...options, imageConfigs })).rejects.toMatchObject({
    ...expected,
    detail: { stage: "image", container: "web" },
  });
});

test("a user by name without a passwd text is an error", async () => {
  const plain = parseSandboxRequest({ metadata: { name: "box" }, spec: { containers: [{ name: "web", image: "oci:/a" }] } });
  await expect(renderOffline(plain, { ...options, imageConfigs: image({ User: "web" }) })).rejects.toMatchObject({
    reason: "UserUnresolvable",
  });
});

test("a class that the node does not have is refused with those it has", async () => {
  await expect(renderOffline(request("kata"), options)).rejects.toMatchObject({
    reason: "RuntimeClassUnknown",
    message: 'spec.runtimeClassName: this node has no runtime class "kata" (it has runsc, gvisor, runc, crun)',
  });
});
