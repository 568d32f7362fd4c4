import { expect, test } from "vitest";
import { parseReference } from "../../src/image/reference.ts";

test("a reference is a path with or without a tag", () => {
  expect(parseReference("oci:/images/busybox")).toEqual({ path: "/images/busybox" });
  expect(parseReference("oci:/images/busybox:1.36")).toEqual({ path: "/images/busybox", tag: "1.36" });
  expect(parseReference("oci:/images/all:docker.io/library/busybox:1.36")).toEqual({
    path: "/images/all",
    tag: "docker.io/library/busybox:1.36",
  });
});

test.each([
  ["busybox:latest", /must be oci:PATH/],
  ["docker://busybox", /must be oci:PATH/],
  ["", /must be oci:PATH/],
  ["oci:", /absolute/],
  ["oci:images/busybox", /absolute/],
  ["oci:/images/../etc", /plain: \/etc/],
  ["oci:/images//busybox", /plain/],
  ["oci:/images\0/busybox", /control characters/],
  ["oci:/images:", /tag/],
  ["oci:/images:-x", /tag/],
  [`oci:/images:${"x".repeat(256)}`, /tag/],
  ["oci:/images:a b", /tag/],
])("%j is refused with what is wrong", (reference, expected) => {
  expect(parseReference(reference)).toMatch(expected);
});
