import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { podFields } from "../../src/sandbox/pod.ts";
import { code, table } from "../support/markdown.ts";

const DOC = "docs/pod-fields.md";

/** What a field's page says beside its name. */
const NOTES: Readonly<Record<string, string>> = {
  apiVersion: "`v1`",
  kind: "`Pod`",
  "metadata.namespace": "else that of the command line, else `default`",
  "spec.restartPolicy": "a Pod without it gets `Never`, with a warning",
  "spec.runtimeClassName": "a class of the node's berth.yaml",
  "spec.containers[].volumeMounts[].mountPath": "not in `/proc`, `/sys` and `/dev`",
  "spec.volumes[].emptyDir.sizeLimit": "reported as not enforced on disk",
  "spec.containers[].volumeMounts[].mountPropagation": "refused under runsc, but for `None`; only of a `hostPath`",
  "spec.volumes[].hostPath.path": "only what the node's policy allows; not `/`, and not in `/proc` and `/sys`",
  "spec.volumes[].hostPath.type": "not `DirectoryOrCreate` and `FileOrCreate`: nothing is made on the node",
  "spec.containers[].image": "`oci:PATH[:TAG]`",
};

function page(): string {
  const [implemented, later] = [true, false].map((wanted) => podFields().filter((field) => field.implemented === wanted));
  const rows = (implemented ?? []).map(({ path }) => [code(path), NOTES[path] ?? ""]);
  return `# Fields of a Kubernetes Pod

\`berth run -f\` and \`berth render -f\` read Pod manifests (\`apiVersion: v1\`, \`kind: Pod\`). The fields below are honoured, with Kubernetes' meaning. Any other field
is refused by its path, never ignored; \`null\` is the same as not there. What berth has beyond a Pod (\`capabilities.ambient\`, \`umask\`, \`rlimits\`, \`requireEnforcement\`) is written in
berth's own document.

This page is made from \`src/sandbox/pod.ts\`: \`UPDATE_FIXTURES=1 vitest run --project unit test/sandbox/pod-fields-doc.test.ts\` writes it again.

${table(["Field", "Beside Kubernetes' rules"], ...rows)}

## Refused as not implemented yet

A field of Kubernetes that is not listed above is refused with "is not implemented by berth yet" and its path; one that no Pod has, with "is not a field of a Pod".

${(later ?? []).map(({ path }) => `- ${code(path)}`).join("\n")}
`;
}

test("docs/pod-fields.md lists every field as src/sandbox/pod.ts has it", () => {
  if (process.env["UPDATE_FIXTURES"] === "1") writeFileSync(DOC, page());
  expect(existsSync(DOC) ? readFileSync(DOC, "utf8") : "").toBe(page());
});

test("each field is listed once, and every note is about a field that is there", () => {
  const paths = podFields().map(({ path }) => path);
  expect(new Set(paths).size).toBe(paths.length);
  expect(paths).toEqual(expect.arrayContaining(Object.keys(NOTES)));
  expect(paths).toEqual(
    expect.arrayContaining([
      "spec.securityContext.supplementalGroups",
      "spec.containers[].securityContext.capabilities.add",
      "spec.volumes[].emptyDir.medium",
    ]),
  );
});
