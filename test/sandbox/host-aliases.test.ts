import { expect, test } from "vitest";
import { refusal, requestOf } from "../bundle/rendering.ts";

const ALIAS = { ip: "10.0.0.5", hostnames: ["db"] };

function faults(hostAliases: unknown, mountPaths: readonly string[] = []): string[] {
  const volumeMounts = mountPaths.map((mountPath) => ({ name: "disk", mountPath }));
  const { detail } = refusal(() => requestOf([{ volumeMounts }], { hostAliases, volumes: [{ name: "disk", emptyDir: {} }] }));
  return (detail.violations ?? []).map(({ field, rule, value, allowed }) => {
    expect(allowed, field).not.toBe("");
    return `${field} = ${value}: ${rule}`;
  });
}

test("aliases are kept as they are; there are none by default", () => {
  const aliases = [ALIAS, { ip: "fd00::5", hostnames: ["a.b-c.1", "x".repeat(63)] }, { ip: "::ffff:10.0.0.1", hostnames: ["a"] }];
  expect(requestOf([{}], { hostAliases: aliases }).spec.hostAliases).toEqual(aliases);
  expect(requestOf([{}]).spec.hostAliases).toEqual([]);
});

test.each(["", "10.0.0", "10.0.0.256", "010.0.0.1", "fe80::1%eth0", "db", "10.0.0.1\n10.0.0.2", " 10.0.0.1"])(
  "the address %j is refused",
  (ip) => {
    expect(faults([ALIAS, { ...ALIAS, ip }])).toEqual([`spec.hostAliases[1].ip = ${JSON.stringify(ip)}: is not an IP address`]);
  },
);

test.each(["", "UPPER", "a b", "a\nb", "-a", "a.", "a..b", "a#", "x".repeat(64), `${"a.".repeat(127)}a`])(
  "the name %j is refused",
  (name) => {
    const [fault, ...others] = faults([{ ip: "10.0.0.5", hostnames: ["good", name] }]);
    expect(fault).toMatch(/^spec\.hostAliases\[0\]\.hostnames\[1\] = .*: is not a DNS name$/s);
    expect(others).toEqual([]);
  },
);

test("an address without names, and too many of both, are refused", () => {
  const many = (count: number, value: unknown): unknown[] => Array.from({ length: count }, () => value);
  expect(faults([{ ip: "10.0.0.5", hostnames: [] }])[0]).toMatch(/hostnames = .*: is empty$/);
  expect(faults([{ ip: "10.0.0.5" }])[0]).toMatch(/hostnames/);
  expect(faults([{ ip: "10.0.0.5", hostnames: many(65, "a") }])[0]).toMatch(/has more than 64 entries$/);
  expect(faults(many(257, ALIAS))[0]).toMatch(/has more than 256 entries$/);
});

test("a mount over the file is refused by name, and fits where there are no aliases", () => {
  const rule = "is where spec.hostAliases are written";
  const field = "spec.containers[0].volumeMounts";
  expect(faults([ALIAS], ["/etc", "/etc//hosts/", "/etc/hosts/below", "/etc/hosts2"])).toEqual([
    `${field}[1].mountPath = "/etc//hosts/": ${rule}`,
    `${field}[2].mountPath = "/etc/hosts/below": ${rule}`,
  ]);
  const volumeMounts = [{ name: "disk", mountPath: "/etc/hosts" }];
  expect(requestOf([{ volumeMounts }], { volumes: [{ name: "disk", emptyDir: {} }] }).spec.hostAliases).toEqual([]);
});
