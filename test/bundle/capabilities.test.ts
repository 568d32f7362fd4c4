import { expect, test } from "vitest";
import { capabilitiesOfMask, capabilitySets, KERNEL_CAPABILITIES, normalizeCapability } from "../../src/bundle/capabilities.ts";
import { type Node, renderApp } from "./rendering.ts";

const DEFAULT = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/** The sets of a container that asks for these, as uid 0 unless another is given. */
function sets(capabilities: object, { runAsUser, ...node }: Node & { runAsUser?: number } = {}) {
  const securityContext = { capabilities, ...(runAsUser === undefined ? {} : { runAsUser }) };
  return renderApp({ container: { securityContext } }, node).process.capabilities;
}
const final = (capabilities: object): string[] => sets(capabilities).bounding;

test("the kernel's 41 capabilities stand in the order of their numbers", () => {
  expect(KERNEL_CAPABILITIES).toHaveLength(41);
  expect(new Set(KERNEL_CAPABILITIES).size).toBe(41);
  // Numbers of include/uapi/linux/capability.h.
  const numbers = { CAP_CHOWN: 0, CAP_KILL: 5, CAP_SETPCAP: 8, CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_SYSLOG: 34, CAP_BPF: 39 };
  for (const [name, number] of Object.entries(numbers)) expect(KERNEL_CAPABILITIES[number]).toBe(name);
  expect(KERNEL_CAPABILITIES[40]).toBe("CAP_CHECKPOINT_RESTORE");
});

test.each(["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin", " Cap_Net_Admin ", "\tnet_ADMIN\n"])(
  "%j is CAP_NET_ADMIN",
  (entry) => {
    expect(normalizeCapability(entry)).toBe("CAP_NET_ADMIN");
  },
);

test.each(["ALL", "all", " All "])("%j is ALL", (entry) => {
  expect(normalizeCapability(entry)).toBe("ALL");
});

// "ſ" (U+017F) is an S in upper case, "ı" (U+0131) an I.
test.each([
  "CAP_CAP_KILL",
  "CAP_",
  "CAP_ALL",
  "NET ADMIN",
  "NET-ADMIN",
  "KILL,CHOWN",
  "41",
  "",
  "ſys_admin",
  "kıll",
  "constructor",
  "KILL\0",
])("%j is no capability", (entry) => {
  expect(normalizeCapability(entry)).toBeUndefined();
});

test("who asks for nothing gets the default", () => {
  expect(sets({})).toEqual({ bounding: DEFAULT, effective: DEFAULT, inheritable: DEFAULT, permitted: DEFAULT });
});

test("adds come behind the default, in the order given, each once", () => {
  expect(final({ add: ["SETUID", "CHOWN", "KILL", "setuid"] })).toEqual([...DEFAULT, "CAP_SETUID", "CAP_CHOWN"]);
});

test("a single drop takes from the default and from adds, and beats an add of the same name", () => {
  expect(final({ add: ["CHOWN", "SETUID"], drop: ["KILL", "CHOWN"] })).toEqual(["CAP_AUDIT_WRITE", "CAP_NET_BIND_SERVICE", "CAP_SETUID"]);
});

test("drop ALL empties the default, and single adds come after it", () => {
  expect(final({ drop: ["ALL"] })).toEqual([]);
  expect(final({ add: ["SETUID", "KILL"], drop: ["ALL"] })).toEqual(["CAP_SETUID", "CAP_KILL"]);
});

test("add ALL is all 41 in the kernel's order, less single drops", () => {
  expect(final({ add: ["SETUID", "all"] })).toEqual(KERNEL_CAPABILITIES);
  expect(final({ add: ["ALL"], drop: ["SYS_MODULE"] })).toEqual(KERNEL_CAPABILITIES.filter((name) => name !== "CAP_SYS_MODULE"));
});

test("drop ALL beats add ALL, and single adds still count", () => {
  expect(final({ add: ["ALL"], drop: ["ALL"] })).toEqual([]);
  expect(final({ add: ["ALL", "CHOWN"], drop: ["ALL"] })).toEqual(["CAP_CHOWN"]);
});

test("merged mode writes one list into four sets, for root and for others", () => {
  const expected = [...DEFAULT, "CAP_NET_ADMIN"];
  for (const runAsUser of [0, 1000]) {
    expect(sets({ add: ["NET_ADMIN"] }, { runAsUser })).toEqual({
      bounding: expected,
      effective: expected,
      inheritable: expected,
      permitted: expected,
    });
  }
});

test("mode no-inheritable: inheritable is exactly the ambient list", () => {
  const mode = { capabilityMode: "no-inheritable", runAsUser: 1000 } as const;
  expect(sets({ add: ["NET_ADMIN"] }, mode)).toMatchObject({ inheritable: [], bounding: [...DEFAULT, "CAP_NET_ADMIN"] });
  const withAmbient = sets({ add: ["NET_ADMIN", "CHOWN"], ambient: ["CHOWN"] }, mode);
  expect(withAmbient).toMatchObject({
    inheritable: ["CAP_CHOWN"],
    ambient: ["CAP_CHOWN"],
    permitted: [...DEFAULT, "CAP_NET_ADMIN", "CAP_CHOWN"],
  });
});

test("without ambient there is no ambient key", () => {
  expect(sets({ add: ["NET_ADMIN"] }, { runAsUser: 1000 })).not.toHaveProperty("ambient");
  expect(sets({ ambient: "never" }, { runAsUser: 1000 })).not.toHaveProperty("ambient");
});

test("ambient auto: for root nothing", () => {
  expect(sets({ add: ["NET_ADMIN"], ambient: "auto" }, { runAsUser: 0 })).not.toHaveProperty("ambient");
});

test("ambient auto: for others the final set less what is there only by default", () => {
  const ambient = (capabilities: object) => sets({ ambient: "auto", ...capabilities }, { runAsUser: 1000 }).ambient;
  expect(ambient({})).toBeUndefined();
  expect(ambient({ add: ["NET_ADMIN", "CHOWN"], drop: ["CHOWN"] })).toEqual(["CAP_NET_ADMIN"]);
  // KILL is asked for and not only there by default.
  expect(ambient({ add: ["KILL", "CHOWN"] })).toEqual(["CAP_KILL", "CAP_CHOWN"]);
  expect(ambient({ add: ["KILL"], drop: ["ALL"] })).toEqual(["CAP_KILL"]);
});

test("ambient auto with add ALL is the whole final set", () => {
  expect(sets({ add: ["ALL"], ambient: "auto" }, { runAsUser: 1 }).ambient).toEqual(KERNEL_CAPABILITIES);
  expect(sets({ add: ["ALL"], drop: ["KILL"], ambient: "auto" }, { runAsUser: 1 }).ambient).not.toContain("CAP_KILL");
});

test("an ambient list holds for root too, and can name what is there by default", () => {
  expect(sets({ ambient: ["KILL"] }, { runAsUser: 0 }).ambient).toEqual(["CAP_KILL"]);
  expect(sets({ ambient: [] }, { runAsUser: 1000 })).not.toHaveProperty("ambient");
});

test("a node that gives more: adds and ambient count from what it gives, drops take of it too", () => {
  const given = { drop: [], ambient: "auto", defaults: "kubernetes" } as const;
  const names = "CHOWN DAC_OVERRIDE FOWNER FSETID SETGID SETUID SETPCAP NET_RAW SYS_CHROOT MKNOD SETFCAP".split(" ");
  const all = [...DEFAULT, ...names.map((name) => `CAP_${name}`)];
  const of = (request: object, uid = 1000) => capabilitySets({ add: [], ...given, ...request }, uid, "merged");
  expect(of({})).toEqual({ bounding: all, effective: all, inheritable: all, permitted: all });
  expect(of({ add: ["CAP_BPF", "CAP_CHOWN"] })).toMatchObject({ bounding: [...all, "CAP_BPF"], ambient: ["CAP_CHOWN", "CAP_BPF"] });
  expect(of({ drop: ["ALL"] }).bounding).toEqual([]);
  expect(of({ drop: names.map((name) => `CAP_${name}`) }).bounding).toEqual(DEFAULT);
});

test("a mask of /proc/PID/status is read back to names", () => {
  expect(capabilitiesOfMask("0000000000000000")).toEqual([]);
  expect(capabilitiesOfMask("0000000020000420")).toEqual(["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]);
  expect(capabilitiesOfMask("000001ffffffffff")).toEqual(KERNEL_CAPABILITIES);
});
