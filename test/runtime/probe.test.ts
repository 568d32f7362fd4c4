import { expect, test } from "vitest";
import { releaseDate, traitsOfVersion } from "../../src/runtime/probe.ts";

test.each([
  ["release-20260905.0", 20_260_905],
  ["release-20240729.0-4-gabcdef012345", 20_240_729],
  ["0.0~20221219", 20_221_219],
  ["20260601", 20_260_601],
  ["release-20260601.12345678", 20_260_601],
])("%s is of %i", (version, date) => {
  expect(releaseDate(version)).toBe(date);
});

test.each(["", "VERSION_MISSING", "1.1.5+ds1", "go1.26", "release-2026", "release-202609050", "19991231", "release-120260905"])(
  "%j has no date",
  (version) => {
    expect(releaseDate(version)).toBeUndefined();
  },
);

test("ambient: runsc from June 2026 on; umask, setuid and filters for exec: from 2026 on; runc and crun always", () => {
  const all = { ambient: true, umask: true, setuid: true, execSeccomp: true, recursiveReadOnly: true };
  const none = { ambient: false, umask: false, setuid: false, execSeccomp: false, recursiveReadOnly: true };
  expect(traitsOfVersion("runsc", "release-20260601.0")).toEqual(all);
  expect(traitsOfVersion("runsc", "release-20260531.0")).toEqual({ ...all, ambient: false });
  expect(traitsOfVersion("runsc", "release-20260101.0")).toEqual({ ...all, ambient: false });
  expect(traitsOfVersion("runsc", "release-20251231.0")).toEqual(none);
  expect(traitsOfVersion("runsc", "0.0~20240729")).toEqual(none);
  expect(traitsOfVersion("runsc", "something")).toEqual(none);
  expect(traitsOfVersion("runc", "1.1.5+ds1")).toEqual(all);
  expect(traitsOfVersion("crun", "")).toEqual(all);
});

test("read-only with all that is mounted below: runc from 1.1 on, crun from 1.8 on, one of no version, and runsc in its own way", () => {
  const can = (adapter: "runsc" | "runc" | "crun", version: string): boolean => traitsOfVersion(adapter, version).recursiveReadOnly;
  expect(["1.0.3", "1.1.0", "1.1.5+ds1", "1.10.0-rc.1", "2.0.0", "0.9"].map((version) => can("runc", version))).toEqual([
    ...[false, true, true, true, true, false],
  ]);
  expect(["1.7.2", "1.8", "1.8.1", "1.21"].map((version) => can("crun", version))).toEqual([false, true, true, true]);
  expect([can("runsc", "0.0~20240729"), can("runc", "release-20260905.0")]).toEqual([true, true]);
});
