import { describe, expect, test } from "vitest";
import { type Capability, DEFAULT_CAPABILITIES, KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import { annotate, explain } from "../../src/bundle/explain.ts";
import type { OciSeccomp } from "../../src/bundle/oci.ts";
import { needsSeccomp, render } from "../../src/bundle/render.ts";
import { runtimeDefault } from "../../src/bundle/seccomp.ts";
import { type Architecture, WITH_CAPABILITY } from "../../src/bundle/seccomp-default.ts";
import { ADAPTERS, configOf, type Node, refusal, renderApp, renderApps, renderInput, requestOf } from "./rendering.ts";

const DEFAULT = { type: "RuntimeDefault" };
const profileOf = (add: readonly string[] = [], node: Node = {}): OciSeccomp | undefined =>
  renderApp({ container: { securityContext: { seccompProfile: DEFAULT, capabilities: { add } } } }, node).linux.seccomp;

/** What becomes of a call without a look at its arguments: allowed, EPERM, ENOSYS, or it depends. */
function fate(profile: OciSeccomp | undefined, name: string): string {
  const rules = (profile?.syscalls ?? []).filter(({ names }) => names.includes(name));
  if (rules.some(({ action, args }) => action === "SCMP_ACT_ALLOW" && args === undefined)) return "allowed";
  if (rules.some(({ args }) => args !== undefined)) return "by argument";
  return rules[0]?.errnoRet === 38 ? "ENOSYS" : "EPERM";
}

/** Whether a call with this first argument passes, as the kernel and libseccomp read the rules. */
function passes(profile: OciSeccomp | undefined, name: string, argument: bigint): boolean {
  return (profile?.syscalls ?? []).some(({ names, action, args }) => {
    if (!names.includes(name) || action !== "SCMP_ACT_ALLOW") return false;
    return (args ?? []).every(({ op, value, valueTwo = 0 }) => {
      if (op === "SCMP_CMP_EQ") return argument === BigInt(value);
      if (op === "SCMP_CMP_LT") return argument < BigInt(value);
      if (op === "SCMP_CMP_MASKED_EQ") return (argument & BigInt(value)) === BigInt(valueTwo);
      throw new Error(`the test does not know ${op}`);
    });
  });
}

test("no profile and Unconfined write nothing, and change no byte", () => {
  const plain = renderApps([{}]).bundles;
  expect(renderApps([{ container: { securityContext: { seccompProfile: { type: "Unconfined" } } } }]).bundles).toEqual(plain);
  expect(configOf(renderApps([{}]), "c0").linux).not.toHaveProperty("seccomp");
});

test("pause never has a filter", () => {
  const pauseOf = (container: object) => renderApps([{ container }]).bundles[0]?.configJson;
  expect(pauseOf({ securityContext: { seccompProfile: DEFAULT } })).toBe(pauseOf({}));
});

test("the container's profile wins over the sandbox's, as a whole", () => {
  const input = renderInput([{}, { container: { securityContext: { seccompProfile: { type: "Unconfined" } } } }]);
  const spec = {
    ...input.request.spec,
    securityContext: { ...input.request.spec.securityContext, seccompProfile: { type: "RuntimeDefault" } as const },
  };
  const result = render({ ...input, request: { ...input.request, spec } });
  expect(configOf(result, "c0").linux.seccomp).toEqual(profileOf());
  expect(configOf(result, "c1").linux.seccomp).toBeUndefined();
  expect(needsSeccomp(spec)).toBe(true);
  expect(needsSeccomp(input.request.spec)).toBe(false);
});

describe("RuntimeDefault", () => {
  test.each(ADAPTERS)("of %s refuses with EPERM what it does not name", (adapter) => {
    const profile = profileOf([], { adapter });
    expect(profile).toMatchObject({ defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 1 });
    for (const name of ["read", "execve", "openat", "futex", "landlock_create_ruleset", "seccomp"])
      expect(fate(profile, name), name).toBe("allowed");
    const refused = words(`add_key keyctl request_key kexec_load kexec_file_load swapon swapoff io_uring_setup io_uring_enter
      io_uring_register userfaultfd pivot_root mount umount2 unshare setns bpf perf_event_open chroot reboot init_module acct
      open_by_handle_at ioperm iopl settimeofday clock_settime vhangup syslog mbind kcmp nfsservctl uselib ustat vm86 quotactl`);
    for (const name of refused) expect(fate(profile, name), name).toBe("EPERM");
  });

  /** Each capability of the table, with the calls that it alone brings. */
  const BROUGHT = Object.entries(WITH_CAPABILITY) as [Capability, readonly string[]][];

  test.each(BROUGHT)("%s brings %j and nothing else", (name, brought) => {
    const [without, having] = [profileOf(), profileOf([name])];
    const before = new Set(without?.syscalls.flatMap(({ names }) => names));
    const after = having?.syscalls.flatMap(({ names }) => names) ?? [];
    for (const call of brought) expect(fate(having, call), call).toBe("allowed");
    expect(after.filter((call) => !before.has(call) && !brought.includes(call))).toEqual([]);
    expect([...before].filter((call) => !after.includes(call))).toEqual([]);
  });

  test("of capabilities that are not in the table changes nothing", () => {
    const others = KERNEL_CAPABILITIES.filter((name) => !(name in WITH_CAPABILITY));
    expect(profileOf(others)).toEqual(profileOf());
  });

  test("a dropped capability brings nothing", () => {
    const securityContext = { seccompProfile: DEFAULT, capabilities: { add: ["SYS_ADMIN", "SYS_TIME"], drop: ["SYS_ADMIN"] } };
    expect(renderApp({ container: { securityContext } }).linux.seccomp).toEqual(profileOf(["SYS_TIME"]));
  });

  test("the order of capabilities is the kernel's, whatever the order of adds", () => {
    expect(profileOf(["SYSLOG", "BPF", "SYS_CHROOT"])).toEqual(profileOf(["SYS_CHROOT", "BPF", "SYSLOG"]));
  });

  test("without SYS_ADMIN clone makes no namespace, and clone3 is as if it were not there; with it both are free", () => {
    const profile = profileOf();
    const namespaces = [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    for (const flag of namespaces) expect(passes(profile, "clone", BigInt(flag) | 17n), flag.toString(16)).toBe(false);
    // What fork and a thread of glibc ask for.
    for (const flags of [0x0120_0011n, 0x003d_0f00n, 17n]) expect(passes(profile, "clone", flags)).toBe(true);
    expect(fate(profile, "clone3")).toBe("ENOSYS");
    for (const name of ["clone", "clone3", "unshare", "setns"]) expect(fate(profileOf(["SYS_ADMIN"]), name)).toBe("allowed");
  });

  test("under runsc clone3 stays: it cannot say ENOSYS, and EPERM would keep programs from starting threads", () => {
    expect(fate(profileOf([], { adapter: "runsc" }), "clone3")).toBe("allowed");
    expect(fate(profileOf([], { adapter: "runsc" }), "clone")).toBe("by argument");
  });

  test("AF_ALG and AF_VSOCK cannot be had, also not with bits that the kernel does not read", () => {
    const profile = profileOf();
    for (const family of [0n, 1n, 2n, 10n, 16n, 17n, 37n, 39n, 41n, 42n, 43n, 44n, 45n])
      expect(passes(profile, "socket", family), String(family)).toBe(true);
    for (const family of [38n, 40n, 46n]) {
      for (const above of [0n, 1n << 32n, 0xffff_ffffn << 32n])
        expect(passes(profile, "socket", family | above), String(family)).toBe(false);
    }
    expect(fate(profile, "socketcall")).toBe("ENOSYS");
  });

  test("only harmless personalities", () => {
    const profile = profileOf();
    for (const value of [0n, 8n, 0x2_0000n, 0x2_0008n, 0xffff_ffffn]) expect(passes(profile, "personality", value)).toBe(true);
    // ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC, MMAP_PAGE_ZERO.
    for (const value of [0x4_0000n, 0x40_0000n, 0x10_0000n]) expect(passes(profile, "personality", value)).toBe(false);
  });

  test.each<[Architecture, string[], string, string]>([
    ["x86-64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "arch_prctl", "cacheflush"],
    ["arm64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"], "cacheflush", "arch_prctl"],
  ])("of %s is for its call conventions", (architecture, architectures, own, other) => {
    const profile = profileOf([], { architecture });
    expect(profile?.architectures).toEqual(architectures);
    expect([fate(profile, own), fate(profile, other)]).toEqual(["allowed", "EPERM"]);
  });

  test("names no call twice under one condition", () => {
    for (const architecture of ["x86-64", "arm64"] as const) {
      const { syscalls } = runtimeDefault({ capabilities: DEFAULT_CAPABILITIES, architecture, errnoRet: true });
      const named = syscalls.flatMap(({ names, args }) => names.map((name) => JSON.stringify([name, args])));
      expect(named.filter((name, index) => named.indexOf(name) !== index)).toEqual([]);
    }
  });
});

describe("Localhost", () => {
  const LOCAL: OciSeccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [
      { names: ["mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 38, args: [{ index: 0, value: 2n ** 64n - 1n, op: "SCMP_CMP_NE" }] },
    ],
  };
  const app = { container: { securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "a.json" } } } };
  const having = (profile: OciSeccomp, node: Node = {}): Node => ({ ...node, seccompProfiles: new Map([["a.json", profile]]) });

  test("is written as the node has it, for each container a copy, with every digit", () => {
    const result = renderApps([app, app], having(LOCAL));
    const [one, two] = [configOf(result, "c0").linux.seccomp, configOf(result, "c1").linux.seccomp];
    expect(one).toEqual(LOCAL);
    expect(one?.syscalls).not.toBe(two?.syscalls);
    expect(result.bundles[1]?.configJson).toContain('"value": 18446744073709551615');
  });

  test.each(["SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"] as const)(
    "%s is refused by name for runsc, and passes elsewhere",
    (action) => {
      for (const profile of [
        { ...LOCAL, defaultAction: action },
        { ...LOCAL, syscalls: [{ names: ["mkdir"], action }] },
      ]) {
        const { reason, detail } = refusal(() => renderApps([{}, app], having(profile, { adapter: "runsc" })));
        expect(reason).toBe("NotEnforceable");
        expect(detail.violations).toMatchObject([
          {
            field: "spec.containers[1].securityContext.seccompProfile.localhostProfile",
            rule: `uses ${action}, which runsc refuses`,
            value: '"a.json"',
          },
        ]);
        for (const adapter of ["runc", "crun"] as const) expect(renderApps([app], having(profile, { adapter })).bundles).toHaveLength(2);
      }
    },
  );

  test("the report says how it is enforced and what runsc does not do", () => {
    const report = (node: Node) => renderApps([app], having(LOCAL, node)).enforcement;
    const entry = { container: "c0", property: "securityContext.seccompProfile", requested: "Localhost a.json", enforced: true };
    expect(report({})).toEqual([{ ...entry, mechanism: "filter in the host's kernel", note: "" }]);
    const flag = { ...entry, mechanism: "runsc --oci-seccomp, a flag of the whole sandbox" };
    const errno = "errnoRet is ignored: what is refused fails with EPERM";
    expect(report({ adapter: "runsc" })).toEqual([{ ...flag, note: errno }]);
    expect(report({ adapter: "runsc", traits: { execSeccomp: false } })).toEqual([
      { ...flag, note: `${errno}; this runsc does not filter processes that exec brings into a container` },
    ]);
  });
});

test("the report of RuntimeDefault and Unconfined", () => {
  const report = (type: string, node: Node = {}) =>
    renderApps([{ container: { securityContext: { seccompProfile: { type } } } }], node).enforcement.map(
      ({ enforced, mechanism, note }) => [enforced, mechanism, note],
    );
  expect(report("RuntimeDefault")).toEqual([[true, "filter in the host's kernel", ""]]);
  expect(report("RuntimeDefault", { adapter: "runsc" })).toEqual([
    [
      true,
      "runsc --oci-seccomp, a flag of the whole sandbox",
      "clone3 stays allowed, also for namespaces, as this runtime cannot refuse it with ENOSYS",
    ],
  ]);
  expect(report("Unconfined", { adapter: "runsc", traits: { execSeccomp: false } })).toEqual([[true, "no filter is written", ""]]);
});

test("every leaf of a filter says where it comes from", () => {
  const asked = { seccompProfile: DEFAULT, capabilities: { add: ["SYS_ADMIN"] } };
  for (const adapter of ADAPTERS) {
    const input = renderInput([{ container: { securityContext: asked } }], { adapter });
    const { config, configJson } = render(input).bundles[1] ?? { config: undefined, configJson: "" };
    if (!config) throw new Error("no bundle");
    const origins = explain(input, "c0", config).filter(({ pointer }) => pointer.startsWith("/linux/seccomp/"));
    expect(new Set(origins.map(({ kind }) => kind))).toEqual(new Set(["default"]));
    for (const { source } of origins) expect(source).toContain("asked for by spec.containers[0].securityContext.seccompProfile");
    const mount = configJson.split("\n").find((line) => line.trim() === '"mount",');
    expect(mount).toBeDefined();
    expect(annotate(configJson, explain(input, "c0", config))).toMatch(
      /"mount",\s+# default: .*system calls that CAP_SYS_ADMIN is for.*asked for by/,
    );
  }
});

test("a file of the node is named as such, also when the sandbox asked", () => {
  const input = renderInput([{}], {
    seccompProfiles: new Map([["team/a.json", { defaultAction: "SCMP_ACT_ALLOW", syscalls: [] } as const]]),
  });
  const seccompProfile = { type: "Localhost", localhostProfile: "team/a.json" } as const;
  const spec = { ...input.request.spec, securityContext: { ...input.request.spec.securityContext, seccompProfile } };
  const asked = { ...input, request: { ...input.request, spec } };
  const config = configOf(render(asked), "c0");
  expect(explain(asked, "c0", config).filter(({ pointer }) => pointer.startsWith("/linux/seccomp"))).toEqual(
    ["defaultAction", "syscalls"].map((name) => ({
      pointer: `/linux/seccomp/${name}`,
      kind: "node",
      source: "team/a.json in seccompProfileDir, asked for by spec.securityContext.seccompProfile",
    })),
  );
});

describe("a request", () => {
  const violations = (seccompProfile: unknown) =>
    refusal(() => requestOf([{ securityContext: { seccompProfile } }])).detail.violations?.map(({ field, rule }) => [
      field.replace("spec.containers[0].securityContext.", ""),
      rule,
    ]);

  test.each<readonly [profile: unknown, field: string, rule: string]>([
    [{}, "seccompProfile.type", "is required"],
    [{ type: "runtime/default" }, "seccompProfile.type", "is not a type of seccomp profile"],
    [{ type: "Localhost" }, "seccompProfile.localhostProfile", "is required"],
    [
      { type: "RuntimeDefault", localhostProfile: "a" },
      "seccompProfile.localhostProfile",
      "is only used with type Localhost, not RuntimeDefault",
    ],
    [{ type: "Unconfined", localhostProfile: "a" }, "seccompProfile.localhostProfile", "is only used with type Localhost, not Unconfined"],
    ...["/a", "a/../b", "..", "./a", "a//b", "a/", ""].map(
      (path) => [{ type: "Localhost", localhostProfile: path }, "seccompProfile.localhostProfile", "is not a clean relative path"] as const,
    ),
    [{ type: "Localhost", localhostProfile: "a\0b" }, "seccompProfile.localhostProfile", "contains a NUL character"],
    [{ type: "Localhost", localhostProfile: "a", more: 1 }, "seccompProfile.more", "is not a field that berth knows"],
    [{ type: "Localhost", localhostProfile: 1 }, "seccompProfile.localhostProfile", "Invalid input: expected string, received number"],
    ["RuntimeDefault", "seccompProfile", "Invalid input: expected object, received string"],
  ])("with %j is refused", (profile, field, rule) => {
    expect(violations(profile)).toEqual([[field, rule]]);
  });

  test("with a path below the folder is taken", () => {
    const [container] = requestOf([{ securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "a/..b/c.json" } } }]).spec
      .containers;
    expect(container?.securityContext.seccompProfile).toEqual({ type: "Localhost", localhostProfile: "a/..b/c.json" });
  });
});

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
