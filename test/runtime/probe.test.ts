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
  const all = { ambient: true, umask: true, setuid: true, execSeccomp: true };
  const none = { ambient: false, umask: false, setuid: false, execSeccomp: false };
  expect(traitsOfVersion("runsc", "release-20260601.0")).toEqual(all);
  expect(traitsOfVersion("runsc", "release-20260531.0")).toEqual({ ...all, ambient: false });
  expect(traitsOfVersion("runsc", "release-20260101.0")).toEqual({ ...all, ambient: false });
  expect(traitsOfVersion("runsc", "release-20251231.0")).toEqual(none);
  expect(traitsOfVersion("runsc", "0.0~20240729")).toEqual(none);
  expect(traitsOfVersion("runsc", "something")).toEqual(none);
  expect(traitsOfVersion("runc", "1.1.5+ds1")).toEqual(all);
  expect(traitsOfVersion("crun", "")).toEqual(all);
});
