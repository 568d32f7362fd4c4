import { expect, test } from "vitest";
import { parseQuantity } from "../../src/sandbox/quantity.ts";

test.each([
  ["0", 0],
  ["1048576", 1_048_576],
  ["64Mi", 67_108_864],
  ["1Ki", 1024],
  ["1k", 1000],
  ["1.5G", 1_500_000_000],
  [".5Gi", 536_870_912],
  ["5.", 5],
  ["1e6", 1_000_000],
  ["12E2", 1200],
  ["1Pi", 1024 ** 5],
  ["1500m", 2],
  ["1e-3", 1],
])("%s is %i", (text, value) => {
  expect(parseQuantity(text)).toBe(value);
});

test.each(["", "-1", "+1", "Mi", ".", "1 Mi", "1mi", "1MB", "0x10", "1e", "1e6Mi", "1Ei", "NaN", "Infinity", "1e99", "1,5"])(
  "%j is no quantity that has an exact number",
  (text) => {
    expect(parseQuantity(text)).toBeUndefined();
  },
);
