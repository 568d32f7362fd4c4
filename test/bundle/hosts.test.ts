import { expect, test } from "vitest";
import { explain } from "../../src/bundle/explain.ts";
import { hostnameOf, hostsText } from "../../src/bundle/hosts.ts";
import { render } from "../../src/bundle/render.ts";
import { ADAPTERS, configOf, renderApps, renderInput, requestOf } from "./rendering.ts";

const HOST_ALIASES = [
  { ip: "10.0.0.5", hostnames: ["db", "db.example.com"] },
  { ip: "fd00::5", hostnames: ["six"] },
];

test("the file has localhost, the sandbox's host name and the aliases in their order", () => {
  const { spec } = requestOf([{}], { hostAliases: HOST_ALIASES });
  expect(hostsText("ship", spec)).toBe(`# Written by berth for this sandbox.
127.0.0.1\tlocalhost
::1\tlocalhost\tip6-localhost\tip6-loopback
fe00::0\tip6-localnet\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
127.0.0.1\tship

# From hostAliases.
10.0.0.5\tdb\tdb.example.com
fd00::5\tsix
`);
  expect([requestOf([{}]), requestOf([{}], { hostname: "ship" })].map(hostnameOf)).toEqual(["sandbox", "ship"]);
});

test.each(ADAPTERS)("%s: the file is the last mount of each app, read-only, and nothing of pause changes", (adapter) => {
  const sandbox = { hostAliases: HOST_ALIASES, volumes: [{ name: "disk", emptyDir: {} }] };
  const apps = [{ container: { volumeMounts: [{ name: "disk", mountPath: "/deep/er/still" }] } }, {}];
  const input = renderInput(apps, { adapter, sandbox });
  const result = render(input);
  const without = renderApps(apps, { adapter, sandbox: { ...sandbox, hostAliases: [] } });
  for (const name of ["c0", "c1"]) {
    const { mounts, ...others } = configOf(without, name);
    const hosts = {
      destination: "/etc/hosts",
      type: "bind",
      source: "/var/lib/berth/bundles/etc.hosts",
      options: ["rbind", "ro", "rprivate"],
    };
    expect(configOf(result, name)).toEqual({ ...others, mounts: [...mounts, hosts] });
    const origins = new Map(
      explain(input, name, configOf(result, name)).map(({ pointer, kind, source }) => [pointer, `${kind}: ${source}`]),
    );
    const at = (field: string) => origins.get(`/mounts/${mounts.length}/${field}`);
    expect(["destination", "type", "source", "options/1"].map(at)).toEqual([
      "request: spec.hostAliases",
      "request: spec.hostAliases",
      "placement: where berth wrote spec.hostAliases",
      "request: spec.hostAliases",
    ]);
  }
  expect(configOf(result, "pause")).toEqual(configOf(without, "pause"));
});
