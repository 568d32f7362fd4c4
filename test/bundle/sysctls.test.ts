import { expect, test } from "vitest";
import { refuseUnenforced } from "../../src/bundle/enforcement.ts";
import { namespaceOf, SAFE_SYSCTLS } from "../../src/bundle/sysctls.ts";
import { refusal, renderApps, requestOf } from "./rendering.ts";

const SAFE = { name: "kernel.shm_rmid_forced", value: "1" };
const withSysctls = (...sysctls: unknown[]) => ({ securityContext: { sysctls } });

test("settings are those of the net and ipc namespaces, and no others", () => {
  for (const name of ["kernel.shmmax", "kernel.msgmni", "kernel.sem", "fs.mqueue.msg_max"]) expect(namespaceOf(name), name).toBe("ipc");
  for (const name of ["net.core.somaxconn", "net.ipv4.ip_forward"]) expect(namespaceOf(name), name).toBe("net");
  for (const name of [
    "kernel.core_pattern",
    "kernel.semaphore",
    "kernel.sem2",
    "vm.swappiness",
    "fs.mqueues",
    "network.x",
    "kernel.hostname",
  ])
    expect(namespaceOf(name), name).toBeUndefined();
  expect(SAFE_SYSCTLS.filter((name) => namespaceOf(name) === undefined)).toEqual([]);
});

test("they change no byte of any bundle, and are reported for the sandbox", () => {
  for (const adapter of ["runc", "crun"] as const) {
    const [before, after] = [renderApps([{}], { adapter }), renderApps([{}], { adapter, sandbox: withSysctls(SAFE) })];
    expect(after.bundles.map(({ configJson }) => configJson)).toEqual(before.bundles.map(({ configJson }) => configJson));
    expect(after.enforcement).toEqual([
      {
        container: "",
        property: "securityContext.sysctls[0]",
        requested: "kernel.shm_rmid_forced=1",
        enforced: true,
        mechanism: "the host's kernel, in the sandbox's ipc namespace",
        note: "",
      },
    ]);
  }
});

test("runsc has none of them: refused by field", () => {
  const error = refusal(() =>
    renderApps([{}], { adapter: "runsc", sandbox: withSysctls(SAFE, { name: "net.ipv4.tcp_rmem", value: "1" }) }),
  );
  expect(error.reason).toBe("NotEnforceable");
  expect(error.detail.violations?.map(({ field, value }) => [field, value])).toEqual([
    ["spec.securityContext.sysctls[0]", "kernel.shm_rmid_forced"],
    ["spec.securityContext.sysctls[1]", "net.ipv4.tcp_rmem"],
  ]);
});

test.each([
  [{ name: "kernel.core_pattern", value: "|/bin/sh" }, "name", "is a setting of the whole host"],
  [{ name: "vm.swappiness", value: "1" }, "name", "is a setting of the whole host"],
  [{ name: "net/ipv4/tcp_rmem", value: "1" }, "name", "is not the name of a kernel setting"],
  [{ name: "net.ipv4./../../vm.swappiness", value: "1" }, "name", "is not the name of a kernel setting"],
  [{ name: "net..ipv4", value: "1" }, "name", "is not the name of a kernel setting"],
  [{ name: "NET.ipv4.tcp_rmem", value: "1" }, "name", "is not the name of a kernel setting"],
  [{ name: `net.${"a.".repeat(200)}a`, value: "1" }, "name", "is not the name of a kernel setting"],
  [{ name: "", value: "1" }, "name", "is not the name of a kernel setting"],
  [{ ...SAFE, value: "1\n2" }, "value", "is not the value of a kernel setting"],
  [{ ...SAFE, value: "1\0" }, "value", "is not the value of a kernel setting"],
  [{ ...SAFE, value: "" }, "value", "is not the value of a kernel setting"],
  [{ ...SAFE, value: " " }, "value", "is not the value of a kernel setting"],
  [{ ...SAFE, value: "1".repeat(4096) }, "value", "is not the value of a kernel setting"],
  [{ ...SAFE, value: "é" }, "value", "is not the value of a kernel setting"],
  [{ name: SAFE.name }, "value", "is required"],
  [{ ...SAFE, value: 1 }, "value", "Invalid input: expected string, received number"],
])("%j is refused", (sysctl, field, rule) => {
  const { detail } = refusal(() => requestOf([{}], withSysctls(sysctl)));
  expect(detail.violations?.map((found) => [found.field, found.rule])).toEqual([[`spec.securityContext.sysctls[0].${field}`, rule]]);
  expect(detail.violations?.[0]?.allowed).not.toBe("");
});

test("a setting that is named twice is refused", () => {
  const { detail } = refusal(() => requestOf([{}], withSysctls(SAFE, { ...SAFE, value: "0" })));
  expect(detail.violations).toMatchObject([{ field: "spec.securityContext.sysctls[1].name", rule: "is set by another entry" }]);
});

test("what is not enforced for the sandbox is refused at the sandbox's field", () => {
  const entry = { container: "", property: "securityContext.sysctls[0]", requested: "a=b", enforced: false, mechanism: "m", note: "n" };
  expect(refusal(() => refuseUnenforced([], [entry])).detail.violations?.[0]?.field).toBe("spec.securityContext.sysctls[0]");
});
