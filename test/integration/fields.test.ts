/** Limits, kernel settings, privileged containers, /proc and AppArmor: what is asked for, read inside the sandbox, beside what the report says. */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refusalOf } from "../../src/api/client.ts";
import { capabilitiesOfMask, KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import type { OciConfig } from "../../src/bundle/oci.ts";
import { AppArmorProfileType, ProcMount, SandboxState } from "../../src/gen/berth/v1/sandbox_pb.js";
import { nodeGrants } from "../../src/sandbox/node-grants.ts";
import { CLASSES, TestNode } from "./node.ts";
import { endNode, type SpecInit, TestSandbox } from "./support/sandbox.ts";

const GRANTS = nodeGrants();
const LACKING = KERNEL_CAPABILITIES.filter((name) => !GRANTS.capabilities.has(name));

let node: TestNode;
let image: string;

beforeAll(async () => {
  node = await TestNode.start({
    policy: {
      limits: { privileged: true, procMount: ["Default", "Unmasked"], sysctls: ["net.core.*"], devices: ["/dev/fuse"] },
    },
  });
  image = node.image;
});

afterAll(async () => await endNode(node));

type App = NonNullable<SpecInit["containers"]>[number];
const app = (name: string, script: string, more: Omit<App, "$typeName"> = {}): App => ({
  name,
  image,
  command: ["/bin/sh", "-c", script],
  ...more,
});

/** container, property, whether it is enforced. */
const reported = ({ status }: TestSandbox) =>
  status.enforcement.map(({ container, property, enforced }) => [container, property, enforced]);

async function outputs(sandbox: TestSandbox): Promise<Record<string, string>> {
  await sandbox.completed();
  const texts = sandbox.status.containers.map(async ({ name }) => [name, await sandbox.output(name)] as const);
  return Object.fromEntries(await Promise.all(texts));
}

const LIMITS = "ulimit -Sn; ulimit -Hn; ulimit -Sc";
const rlimits = (files: bigint) => [
  { type: "NOFILE", soft: files, hard: files + 1n },
  { type: "RLIMIT_CORE", soft: 2n ** 64n - 1n, hard: 2n ** 64n - 1n },
];

describe.each(CLASSES)("limits under $name", ({ name: runtimeClassName, adapter }) => {
  const own = adapter !== "runsc";

  test("a container has what it asks for, and so have its children", async () => {
    const containers = [app("a", `${LIMITS}; /bin/sh -c "${LIMITS}"`, { rlimits: rlimits(100n) })];
    await using sandbox = await TestSandbox.create(node, "limits", { runtimeClassName, containers });
    expect(await outputs(sandbox)).toEqual({ a: "100\n101\nunlimited\n".repeat(2) });
    expect(reported(sandbox)).toEqual([
      ["a", "rlimits[0]", true],
      ["a", "rlimits[1]", true],
    ]);
  });

  test("beside others it keeps them, but under runsc, where the last to start decides for all, as the report says", async () => {
    const containers = [
      // It looks when the last one, which is running then, has called.
      app("first", "nc -l -p 7 >/dev/null; ulimit -Sn", { rlimits: rlimits(100n) }),
      app("last", "ulimit -Sn; until nc 127.0.0.1 7 </dev/null; do sleep 0.05; done", { rlimits: rlimits(200n) }),
    ];
    await using sandbox = await TestSandbox.create(node, "beside", { runtimeClassName, containers });
    expect(await outputs(sandbox)).toEqual({ first: own ? "100\n" : "200\n", last: "200\n" });
    expect(reported(sandbox)).toEqual([
      ["first", "rlimits[0]", own],
      ["first", "rlimits[1]", true],
      ["last", "rlimits[0]", own],
      ["last", "rlimits[1]", true],
    ]);
  });

  test("a hard limit above berthd's own is refused before anything is made, but under runsc, which gives it", async () => {
    const most = 2n ** 31n;
    const spec = { runtimeClassName, containers: [app("a", "ulimit -Hn", { rlimits: [{ type: "NOFILE", soft: 5n, hard: most }] })] };
    if (!own) {
      await using sandbox = await TestSandbox.create(node, "high", spec);
      expect(await outputs(sandbox)).toEqual({ a: `${most}\n` });
      return;
    }
    const refusal = await TestSandbox.refused(node, "high", spec);
    expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable" });
    expect(refusal.violations).toMatchObject([
      { field: "spec.containers[0].rlimits[0].hard", value: String(most), allowed: expect.stringMatching(/^at most \d+; /) },
    ]);
    expect(node.leftovers()).toEqual([]);
  });
});

describe.each(CLASSES)("kernel settings under $name", ({ name: runtimeClassName, adapter }) => {
  const files = ["kernel/shm_rmid_forced", "net/ipv4/ip_unprivileged_port_start", "net/core/somaxconn"].map((file) => `/proc/sys/${file}`);
  const spec = (sysctls: { name: string; value: string }[]): SpecInit => ({
    runtimeClassName,
    securityContext: { sysctls },
    containers: ["a", "b"].map((name) => app(name, `cat ${files.join(" ")}`)),
  });
  const wanted = [
    { name: "kernel.shm_rmid_forced", value: "1" },
    { name: "net.ipv4.ip_unprivileged_port_start", value: "7" },
    { name: "net.core.somaxconn", value: "77" },
  ];

  test.skipIf(adapter === "runsc")("are what was asked for in every container, and the host keeps its own", async () => {
    const before = files.map((file) => readFileSync(file, "utf8"));
    await using sandbox = await TestSandbox.create(node, "sysctls", spec(wanted));
    expect(await outputs(sandbox)).toEqual({ a: "1\n7\n77\n", b: "1\n7\n77\n" });
    expect(reported(sandbox)).toEqual([0, 1, 2].map((index) => ["", `securityContext.sysctls[${index}]`, true]));
    expect(files.map((file) => readFileSync(file, "utf8"))).toEqual(before);
  });

  test.skipIf(adapter === "runsc")("that the kernel does not take are refused by name, and nothing is left", async () => {
    const refusal = await TestSandbox.refused(node, "bad", spec([...wanted.slice(1), { name: "kernel.shm_rmid_forced", value: "no" }]));
    expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable" });
    expect(refusal.violations).toMatchObject([
      { field: "spec.securityContext.sysctls[2]", value: "kernel.shm_rmid_forced=no", rule: "the kernel refuses it: EINVAL" },
    ]);
    expect(node.leftovers()).toEqual([]);
  });

  test("that neither Kubernetes calls safe nor the policy names are refused by field", async () => {
    const refusal = await TestSandbox.refused(node, "unsafe", spec([...wanted, { name: "net.ipv4.ip_forward", value: "1" }]));
    expect(refusal).toMatchObject({ code: "PERMISSION_DENIED", reason: "PolicyRefused" });
    expect(refusal.violations.map(({ field }) => field)).toEqual(["spec.securityContext.sysctls[3].name"]);
  });

  test.runIf(adapter === "runsc")("are refused by field, as its kernel is another", async () => {
    const refusal = await TestSandbox.refused(node, "own-kernel", spec(wanted));
    expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable" });
    expect(refusal.violations.map(({ field }) => field)).toEqual([0, 1, 2].map((index) => `spec.securityContext.sysctls[${index}]`));
    expect(node.leftovers()).toEqual([]);
  });
});

describe.each(CLASSES)("privileged under $name", ({ name: runtimeClassName, adapter }) => {
  // Opens for writing and writes nothing.
  const script = `grep CapBnd /proc/self/status; grep CapEff /proc/self/status
    (: >>/proc/sys/kernel/hostname) 2>&1; (: >>/sys/kernel/x) 2>&1; cat /proc/timer_list 2>/dev/null | wc -c; ls /dev/kmsg /dev/mem 2>/dev/null; true`;

  test("is every capability that can be given, and every mask stays", async () => {
    const drop = adapter === "runsc" ? [] : LACKING;
    const containers = [
      app("all", script, { securityContext: { privileged: true, capabilities: { drop } } }),
      app("plain", script, { securityContext: { privileged: false, capabilities: { drop } } }),
    ];
    await using sandbox = await TestSandbox.create(node, "privileged", { runtimeClassName, containers });
    const { all = "", plain = "" } = await outputs(sandbox);
    const sets = [...all.matchAll(/^Cap\w+:\s+([0-9a-f]+)$/gm)].map(([, mask = ""]) => capabilitiesOfMask(mask));
    expect(sets).toEqual([0, 1].map(() => KERNEL_CAPABILITIES.filter((name) => !drop.includes(name))));
    const withoutSets = (text: string) => text.replaceAll(/^Cap.*\n/gm, "");
    // What runsc lets a capability do to its own /proc touches nothing of the host.
    const masked =
      adapter === "runsc"
        ? /sys\/kernel\/x: Read-only file system\n0\n$/
        : /^.*hostname: Read-only file system\n.*x: Read-only file system\n0\n$/;
    for (const text of [all, plain]) expect(withoutSets(text)).toMatch(masked);
    expect(
      sandbox.status.enforcement.filter(({ property }) => property === "securityContext.privileged").map(({ enforced }) => enforced),
    ).toEqual(adapter === "runsc" ? [true, true] : [true]);
  });

  test.skipIf(adapter === "runsc" || LACKING.length === 0)(
    "is refused before anything is made where berthd lacks a capability",
    async () => {
      const refusal = await TestSandbox.refused(node, "lacking", {
        runtimeClassName,
        containers: [app("a", "true", { securityContext: { privileged: true } })],
      });
      expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable" });
      expect(refusal.violations.map(({ field, value }) => [field, value])).toEqual(
        LACKING.map((name) => ["spec.containers[0].securityContext.privileged", name]),
      );
      expect(node.leftovers()).toEqual([]);
    },
  );
});

describe.each(CLASSES)("/proc and AppArmor under $name", ({ name: runtimeClassName, adapter }) => {
  const contexts = {
    unmasked: { procMount: ProcMount.UNMASKED },
    confined: { appArmorProfile: { type: AppArmorProfileType.LOCALHOST, localhostProfile: "berth-test-of-no-node" } },
    byDefault: { appArmorProfile: { type: AppArmorProfileType.RUNTIME_DEFAULT } },
  };
  const spec = (securityContext: App["securityContext"]): SpecInit => ({
    runtimeClassName,
    containers: [app("a", "ls /proc/1/status", { securityContext })],
  });

  test.runIf(adapter === "runsc").each(Object.entries(contexts))("%s changes nothing, and is reported", async (_name, context) => {
    await using sandbox = await TestSandbox.create(node, "reported", spec(context));
    expect(await outputs(sandbox)).toEqual({ a: "/proc/1/status\n" });
    expect(reported(sandbox)).toEqual([["a", expect.stringMatching(/procMount|appArmorProfile/), false]]);
    expect(sandbox.status.warnings).toHaveLength(1);
  });

  test.skipIf(adapter === "runsc")(
    "an unmasked /proc and profiles that cannot hold are refused by field, and nothing is left",
    async () => {
      for (const [index, context] of [contexts.unmasked, contexts.byDefault, ...(GRANTS.appArmor ? [] : [contexts.confined])].entries()) {
        const refusal = await TestSandbox.refused(node, `refused-${index}`, spec(context));
        expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable" });
        expect(refusal.violations.map(({ field }) => field)).toEqual([
          `spec.containers[0].securityContext.${index === 0 ? "procMount" : "appArmorProfile"}`,
        ]);
      }
      expect(node.leftovers()).toEqual([]);
    },
  );
});

test.each(CLASSES)(
  "annotations under $name are answered, and stand in the config.json of apps alone",
  async ({ name: runtimeClassName }) => {
    const annotations = { "team.example/owner": "us", note: 'a "b"\n' };
    const spec = { runtimeClassName, containers: [app("a", "true")] };
    const { sandbox } = await node.sandboxes.create({ metadata: { name: "noted", annotations }, spec });
    const id = sandbox?.metadata?.id ?? "";
    try {
      expect((await node.until(id, ({ status }) => status?.state === SandboxState.COMPLETED)).metadata?.annotations).toEqual(annotations);
      const written = (container: string) =>
        (JSON.parse(readFileSync(join(node.state, "bundles", id, container, "config.json"), "utf8")) as OciConfig).annotations;
      expect(written("a")).toMatchObject(annotations);
      expect(Object.keys(written("pause"))).toHaveLength(3);
    } finally {
      await node.sandboxes.delete({ id });
    }
  },
);

test.each(CLASSES)("annotations that $name reads settings from are refused", async ({ name: runtimeClassName }) => {
  for (const key of ["dev.gvisor.flag.host-uds", "run.oci.handler", "io.kubernetes.cri.container-type"]) {
    const call = node.sandboxes.create({
      metadata: { name: "noted", annotations: { [key]: "open" } },
      spec: { runtimeClassName, containers: [app("a", "true")] },
    });
    const refusal = refusalOf(await call.catch((error: unknown) => error));
    expect(refusal?.violations.map(({ field }) => field)).toEqual([`metadata.annotations.${key}`]);
  }
});

describe.each(CLASSES)("devices under $name", ({ name: runtimeClassName, adapter }) => {
  // Not one of those that runtimes let every container at; nothing is read or written, only opened.
  const fuse = { path: "/dev/fuse", containerPath: "/dev/team/fuse", permissions: "r" };
  const script = "(: </dev/team/fuse) 2>&1 && echo opened; (: >/dev/team/fuse) 2>&1; ls /dev/team";

  test.skipIf(adapter === "runsc" || !existsSync(fuse.path))(
    "that policy allows can be used as far as was asked, in their container alone",
    async () => {
      const containers = [app("has", script, { devices: [fuse] }), app("not", "ls /dev/team 2>&1; true")];
      await using sandbox = await TestSandbox.create(node, "devices", { runtimeClassName, containers });
      expect(await outputs(sandbox)).toEqual({
        has: "opened\n/bin/sh: can't create /dev/team/fuse: Operation not permitted\nfuse\n",
        not: "ls: /dev/team: No such file or directory\n",
      });
      expect(reported(sandbox)).toEqual([["has", "devices[0]", true]]);
    },
  );

  test("are refused by field where policy, the node or the runtime has none", async () => {
    const spec = (path: string): SpecInit => ({
      runtimeClassName,
      containers: [app("a", "true", { devices: [{ path, containerPath: "/dev/x" }] })],
    });
    expect(await TestSandbox.refused(node, "kvm", spec("/dev/kvm"))).toMatchObject({
      reason: "PolicyRefused",
      violations: [{ field: "spec.containers[0].devices[0].path", value: '"/dev/kvm"' }],
    });
    expect(node.leftovers()).toEqual([]);
    if (adapter !== "runsc") return;
    expect(await TestSandbox.refused(node, "fuse", spec("/dev/fuse"))).toMatchObject({
      reason: "NotEnforceable",
      violations: [{ field: "spec.containers[0].devices[0]", value: "/dev/fuse" }],
    });
    expect(node.leftovers()).toEqual([]);
  });
});
