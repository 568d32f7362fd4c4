import { readFileSync, writeFileSync } from "node:fs";
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { ERROR_KINDS } from "../../src/errors.ts";

const DOC = "docs/errors.md";

/** The page that lists every error. */
function errorsPage(): string {
  const rows = Object.entries(ERROR_KINDS).map(
    ([reason, { grpc, http, retryable, meaning }]) =>
      `| ${reason} | ${status[grpc]} | ${http} | ${retryable ? "yes" : "no"} | ${meaning} |`,
  );
  return `# Errors

Every error that berthd answers carries a \`google.rpc.Status\` in \`grpc-status-details-bin\`. Its details hold one \`berth.v1.ErrorDetail\`: the reason below,
the stage and container it is about, whether the same call may succeed later, the last lines of the runtime's own log, and every fault of the request
with its field, the rule, the value that was found and what would be right. Faults of a request stand in a \`google.rpc.BadRequest\` too, where that fits:
an answer's details are kept under 8 KiB, because clients refuse larger trailers.

This page is made from \`src/errors.ts\`: \`UPDATE_FIXTURES=1 vitest run test/api/errors-doc.test.ts\` writes it again.

| Reason | gRPC | HTTP | Retryable | Meaning |
|---|---|---|---|---|
${rows.join("\n")}
`;
}

test("docs/errors.md lists every error as src/errors.ts has it", () => {
  if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(DOC, errorsPage());
  expect(readFileSync(DOC, "utf8")).toBe(errorsPage());
});

test("every number in the table is one that gRPC knows", () => {
  for (const { grpc, http, meaning } of Object.values(ERROR_KINDS)) {
    expect(status[grpc]).toBeTypeOf("string");
    expect(http).toBeGreaterThanOrEqual(400);
    expect(meaning).toMatch(/\.$/);
  }
});
