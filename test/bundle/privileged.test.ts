/** privileged, procMount and appArmorProfile: what is written, reported and refused. */

import { expect, test } from "vitest";
import { KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import type { NodeGrants } from "../../src/bundle/enforcement.ts";
import { explain } from "../../src/bundle/explain.ts";
import { refuseImpossible } from "../../src/bundle/impossible.ts";
import { needsRawSockets } from "../../src/bundle/render.ts";
import { ADAPTERS, configOf, type Node, refusal, renderApp, renderApps, renderInput, requestOf } from "./rendering.ts";

const SHARED = ["runc", "crun"] as const;
const app = (securityContext: object) => ({ container: { securityContext } });
const PRIVILEGED = app({ privileged: true });
const field = (name: string): string => `spec.containers[0].securityContext.${name}`;
const entries = (securityContext: object, node: Node) =>
  renderApps([app(securityContext)], node).enforcement.map(({ property, requested, enforced, mechanism }) => [
    property.replace("securityContext.", ""),
    requested,
    enforced,
    mechanism,
  ]);
const WITH_ALL: NodeGrants = { capabilities: new Set(KERNEL_CAPABILITIES), rlimits: new Map(), appArmor: true };

test("privileged is the kernel's 41 capabilities, and changes nothing else of the container", () => {
  for (const adapter of ADAPTERS) {
    const [plain, all] = [renderApp({}, { adapter }), renderApp(PRIVILEGED, { adapter, node: { ...WITH_ALL, capabilities: new Set() } })];
    for (const set of ["bounding", "effective", "inheritable", "permitted"] as const)
      expect(all.process.capabilities[set]).toEqual(KERNEL_CAPABILITIES);
    expect({ ...all, process: { ...all.process, capabilities: plain.process.capabilities } }).toEqual(plain);
  }
});

test("privileged containers drop what they drop, and have what is ambient as with add ALL", () => {
  const { process } = renderApp(app({ privileged: true, runAsUser: 7, capabilities: { drop: ["SYS_MODULE"], ambient: "auto" } }));
  expect(process.capabilities.bounding).toEqual(KERNEL_CAPABILITIES.filter((name) => name !== "CAP_SYS_MODULE"));
  expect(process.capabilities.ambient).toEqual(process.capabilities.bounding);
  expect(renderApp(app({ privileged: false })).process).toEqual(renderApp().process);
});

test("a privileged container needs runsc's raw sockets", () => {
  expect(needsRawSockets(requestOf([{ securityContext: { privileged: true } }]).spec.containers)).toBe(true);
  expect(needsRawSockets(requestOf([{ securityContext: { privileged: true, capabilities: { drop: ["NET_RAW"] } } }]).spec.containers)).toBe(
    false,
  );
});

test("privileged is refused together with allowPrivilegeEscalation: false", () => {
  const { detail } = refusal(() => renderApp(app({ privileged: true, allowPrivilegeEscalation: false })));
  expect(detail.violations).toMatchObject([
    { field: field("allowPrivilegeEscalation"), rule: "cannot be false in a privileged container", value: "false" },
  ]);
  expect(renderApp(app({ privileged: false, allowPrivilegeEscalation: false })).process.noNewPrivileges).toBe(true);
});

test("the report says what privileged gives, under the field that asked for it", () => {
  const context = { privileged: true, capabilities: { add: ["CHOWN"] } };
  const rest = KERNEL_CAPABILITIES.filter((name) => name !== "CAP_CHOWN").join(" ");
  expect(entries(context, { adapter: "runc", node: WITH_ALL })).toEqual([
    ["capabilities.add", "CAP_CHOWN", true, "the host's kernel"],
    ["privileged", rest, true, "the host's kernel"],
  ]);
  const [, inSandbox] = renderApps([app(context)], { adapter: "runsc" }).enforcement;
  expect(inSandbox).toMatchObject({ enforced: true, mechanism: "the sandbox's own kernel", note: expect.stringMatching(/stays hidden/) });
});

test("what the node's agent lacks is refused before anything is made, and reported by render", () => {
  const node = { ...WITH_ALL, capabilities: new Set(KERNEL_CAPABILITIES.filter((name) => name !== "CAP_SYS_TIME")) };
  const { spec } = requestOf([{ securityContext: { privileged: true } }]);
  for (const adapter of SHARED) {
    expect(refusal(() => refuseImpossible(spec, adapter, node)).detail.violations).toMatchObject([
      { field: field("privileged"), value: "CAP_SYS_TIME" },
    ]);
    expect(entries({ privileged: true }, { adapter, node })[0]).toEqual([
      "privileged",
      "CAP_SYS_TIME",
      false,
      "not in the node agent's own bounding set",
    ]);
  }
  refuseImpossible(spec, "runsc", node);
});

test("each capability of a privileged container names who asked for it", () => {
  const input = renderInput([app({ privileged: true, capabilities: { add: ["CHOWN"] } })]);
  const config = configOf(renderApps([app({ privileged: true, capabilities: { add: ["CHOWN"] } })]), "c0");
  const origins = new Map(explain(input, "c0", config).map(({ pointer, kind, source }) => [pointer, `${kind}: ${source}`]));
  const of = (name: (typeof KERNEL_CAPABILITIES)[number]) =>
    origins.get(`/process/capabilities/bounding/${config.process.capabilities.bounding.indexOf(name)}`);
  expect(of("CAP_CHOWN")).toBe(`request: ${field("capabilities.add[0]")}`);
  expect(of("CAP_SYS_BOOT")).toBe(`request: ${field("privileged")}`);
  expect(of("CAP_KILL")).toBe("default: capabilities of every container");
});

test("an unmasked /proc is never given by a runtime that shares the host's kernel", () => {
  for (const adapter of SHARED) {
    const error = refusal(() => renderApp(app({ procMount: "Unmasked", privileged: true }), { adapter }));
    expect(error.reason).toBe("NotEnforceable");
    expect(error.detail.violations).toMatchObject([{ field: field("procMount"), value: "Unmasked" }]);
    expect(renderApp(app({ procMount: "Default" }), { adapter })).toEqual(renderApp({}, { adapter }));
    expect(entries({ procMount: "Default" }, { adapter })).toEqual([["procMount", "Default", true, "masked and read-only paths"]]);
  }
});

test("under runsc procMount changes nothing, which is told of Unmasked", () => {
  for (const procMount of ["Default", "Unmasked"]) {
    expect(renderApp(app({ procMount }), { adapter: "runsc" })).toEqual(renderApp({}, { adapter: "runsc" }));
    const [[property, requested, enforced] = []] = entries({ procMount }, { adapter: "runsc" });
    expect([property, requested, enforced]).toEqual(["procMount", procMount, procMount === "Default"]);
  }
});

const local = (localhostProfile: string) => ({ appArmorProfile: { type: "Localhost", localhostProfile } });

test("an AppArmor profile of the node is written for a runtime on the host's kernel; the container's wins", () => {
  const sandbox = { securityContext: local("common") };
  for (const adapter of SHARED) {
    const result = renderApps([app({}), app(local("own")), app({ appArmorProfile: { type: "Unconfined" } })], { adapter, sandbox });
    expect(["pause", "c0", "c1", "c2"].map((name) => configOf(result, name).process.apparmorProfile)).toEqual([
      undefined,
      "common",
      "own",
      undefined,
    ]);
    expect(result.enforcement.map(({ requested, enforced }) => [requested, enforced])).toEqual([
      ["Localhost common", true],
      ["Localhost own", true],
      ["Unconfined", true],
    ]);
  }
  const input = renderInput([app({}), app(local("own"))], { sandbox });
  const origin = (name: string) =>
    explain(input, name, configOf(renderApps([app({}), app(local("own"))], { sandbox }), name)).find(
      ({ pointer }) => pointer === "/process/apparmorProfile",
    )?.source;
  expect(origin("c0")).toBe("spec.securityContext.appArmorProfile.localhostProfile");
  expect(origin("c1")).toBe("spec.containers[1].securityContext.appArmorProfile.localhostProfile");
});

test("runsc takes no AppArmor profile: none is written, and it is reported", () => {
  for (const profile of [local("a"), { appArmorProfile: { type: "RuntimeDefault" } }]) {
    expect(renderApp(app(profile), { adapter: "runsc" })).toEqual(renderApp({}, { adapter: "runsc" }));
    expect(entries(profile, { adapter: "runsc" })[0]?.slice(2)).toEqual([false, "runsc takes no AppArmor profile"]);
  }
});

test("a profile that the node cannot confine to is refused by field before anything is made", () => {
  const common = requestOf([{}, { securityContext: local("own") }], { securityContext: { appArmorProfile: { type: "RuntimeDefault" } } });
  const without = { ...WITH_ALL, appArmor: false };
  for (const adapter of SHARED) {
    const violations = (node: NodeGrants) => refusal(() => refuseImpossible(common.spec, adapter, node)).detail.violations;
    const runtimeDefault = { field: "spec.securityContext.appArmorProfile", value: "RuntimeDefault" };
    expect(violations(WITH_ALL)).toMatchObject([runtimeDefault]);
    expect(violations(without)).toMatchObject([
      runtimeDefault,
      { field: "spec.containers[1].securityContext.appArmorProfile", value: "own", rule: "the node's kernel has no AppArmor" },
    ]);
    expect(entries(local("own"), { adapter, node: without })).toContainEqual([
      "appArmorProfile",
      "Localhost own",
      false,
      "the node's kernel has no AppArmor",
    ]);
    refuseImpossible(requestOf([{ securityContext: { appArmorProfile: { type: "Unconfined" } } }]).spec, adapter, without);
  }
  refuseImpossible(common.spec, "runsc", without);
});

test.each([
  [{ appArmorProfile: {} }, "appArmorProfile.type: is required"],
  [{ appArmorProfile: { type: "localhost" } }, "appArmorProfile.type: is not a type of AppArmor profile"],
  [{ appArmorProfile: { type: "Localhost" } }, "appArmorProfile.localhostProfile: is required"],
  [local(""), "appArmorProfile.localhostProfile: is not the name of an AppArmor profile"],
  [local(" a"), "appArmorProfile.localhostProfile: is not the name of an AppArmor profile"],
  [local("a\nb"), "appArmorProfile.localhostProfile: is not the name of an AppArmor profile"],
  [local("a".repeat(4096)), "appArmorProfile.localhostProfile: is not the name of an AppArmor profile"],
  [
    { appArmorProfile: { type: "Unconfined", localhostProfile: "a" } },
    "appArmorProfile.localhostProfile: is only used with type Localhost, not Unconfined",
  ],
  [{ procMount: "unmasked" }, "procMount: is not a way to mount /proc"],
  [{ procMount: "" }, "procMount: is not a way to mount /proc"],
  [{ privileged: "true" }, "privileged: Invalid input: expected boolean, received string"],
  [{ seLinuxOptions: { type: "spc_t" } }, "seLinuxOptions: is not a field that berth knows"],
])("%j is refused", (securityContext, fault) => {
  const { detail } = refusal(() => requestOf([{ securityContext }]));
  expect(detail.violations?.map((found) => `${found.field}: ${found.rule}`)).toEqual([field(fault)]);
  expect(detail.violations?.[0]?.allowed).not.toBe("");
});
