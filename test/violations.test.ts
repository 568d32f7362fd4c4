import { expect, test } from "vitest";
import { z } from "zod";
import { show } from "../src/errors.ts";
import { fieldPath, violationsOf } from "../src/violations.ts";

test("a field's path is written as people write it", () => {
  expect(fieldPath(["spec", "containers", 0, "env", 12, "name"])).toBe("spec.containers[0].env[12].name");
  expect(fieldPath([])).toBe("");
});

test.each([
  [undefined, "undefined"],
  [null, "null"],
  ["a\0", String.raw`"a\u0000"`],
  [10n, '"10"'],
  [[1n, Number.NaN], '["1","NaN"]'],
  [{ a: [] }, '{"a":[]}'],
])("%s is shown as %s", (value, expected) => {
  expect(show(value)).toBe(expected);
});

test("a value is shown in at most 200 characters", () => {
  expect(show("x".repeat(198))).toHaveLength(200);
  expect(show("x".repeat(199))).toBe(`"${"x".repeat(196)}...`);
});

/** Violations of an input of this form. */
function violations(schema: z.ZodType, input: unknown) {
  const parsed = schema.safeParse(input, { reportInput: true });
  return parsed.success ? [] : violationsOf(parsed.error, input);
}

test("a field that is missing is required, whatever its rules are", () => {
  const schema = z.strictObject({ a: z.string().min(3), b: z.enum(["x", "y"]) });
  expect(violations(schema, {})).toEqual([
    { field: "a", rule: "is required", value: "nothing", allowed: "a value of type string" },
    { field: "b", rule: "is required", value: "nothing", allowed: "x, y" },
  ]);
});

test("each unknown field is a violation of its own", () => {
  expect(violations(z.strictObject({ a: z.strictObject({}) }), { a: { x: 1, y: 2 } }).map(({ field, value }) => [field, value])).toEqual([
    ["a.x", "1"],
    ["a.y", "2"],
  ]);
});

test("of a union, the branch that came further tells", () => {
  const schema = z.strictObject({ a: z.union([z.enum(["never"]), z.array(z.number())]) });
  expect(violations(schema, { a: [1, "2"] })).toMatchObject([{ field: "a[1]", value: '"2"', allowed: "a whole number, not quoted" }]);
  expect(violations(schema, { a: "x" })).toMatchObject([{ field: "a", value: '"x"', allowed: "never, or a value of type array" }]);
});
