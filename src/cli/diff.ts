import type { Command } from "commander";
import type { BundleDiff, DiffBundle, Difference, DiffValue } from "../bundle/diff.ts";
import type { OriginKind as OriginKindName } from "../bundle/explain.ts";
import { report, ToldError } from "./failure.ts";
import { type Globals, globalsOf } from "./globals.ts";
import { declareOfflineFlags, type OfflineFlags, renderFiles } from "./offline.ts";
import { print, printable, printWarnings } from "./output.ts";

const DIFFERENT = 1;
const TROUBLE = 2;

export function declareDiff(berth: Command): void {
  const diff = berth
    .command("diff")
    .summary("show what differs between the config.json files of two sandboxes, and why")
    .description(
      "Compares two sandboxes, value by value, with the origin of each. A file is rendered as berth render does, without berthd; " +
        "of a sandbox of the node the config.json files are taken with which it was created. Ids and places, which differ always, are left out.",
    )
    .argument("<A>", "a file, or a sandbox of the node: NAME, NAMESPACE/NAME or full id; a file of such a name is ./NAME")
    .argument("<B>", "as A");
  declareOfflineFlags(diff)
    .addHelpText(
      "after",
      `
Lists whose order means nothing (capabilities, groups, variables, mounts, rules of seccomp) are compared entry by entry.

Exit codes: 0 no difference, 1 differences, 2 trouble.

With -o json: {"differences": [{"container", "entries", "a": {"pointer", "value", "origin"} or null, "b": ...}], "onlyInA": [CONTAINER],
"onlyInB": [...], "warnings": [...]}; "entries" names the mount, limit or rule that the value is of, "origin" is null where it is not known.

Example:
  berth diff web.yaml web
  berth diff old.yaml new.yaml -o json | jq -r '.differences[].b.origin.source'`,
    )
    .action(async (a: string, b: string, flags: OfflineFlags, command: Command) => {
      const globals = globalsOf(command);
      const different = await showDiff(a, b, flags, globals).catch((error: unknown) => {
        report(error, globals.json);
        throw new ToldError(TROUBLE);
      });
      if (different) throw new ToldError(DIFFERENT);
    });
}

/** Whether there are differences. */
async function showDiff(a: string, b: string, flags: OfflineFlags, globals: Globals): Promise<boolean> {
  const [{ diffBundles }, sides] = await Promise.all([import("../bundle/diff.ts"), readSides([a, b], flags, globals)]);
  const [inA, inB] = [a, b].map((name) => sides.get(name)?.bundles ?? []) as [readonly DiffBundle[], readonly DiffBundle[]];
  const found = diffBundles(inA, inB);
  const warnings = [...sides].flatMap(([name, side]) => side.warnings.map((warning) => `${name}: ${warning}`));
  if (globals.json) {
    const { stringifyExact } = await import("../bundle/oci.ts");
    print(stringifyExact({ ...found, differences: found.differences.map(differenceJson), warnings }));
  } else {
    if (!isEmpty(found)) print(diffText(a, b, found));
    printWarnings(warnings);
  }
  return !isEmpty(found);
}

interface Side {
  readonly bundles: readonly DiffBundle[];
  readonly warnings: readonly string[];
}

/** A name of the node, which no other file than one without dot and with at most one slash could have. */
const SANDBOX = /^(?:(?<namespace>[a-z0-9][-a-z0-9]*)\/)?(?<name>[a-z0-9][-a-z0-9]*)$/;

/** By what was given. */
async function readSides(given: readonly string[], flags: OfflineFlags, globals: Globals): Promise<ReadonlyMap<string, Side>> {
  const names = [...new Set(given)];
  const files = names.filter((name) => !SANDBOX.test(name));
  const rendered = await renderFiles(files, flags, globals);
  const ofFiles = rendered.map(({ result, warnings }, index) => [files[index] ?? "", { bundles: result.bundles, warnings }] as const);
  const ofNode = await readSandboxes(
    names.filter((name) => SANDBOX.test(name)),
    globals,
  );
  return new Map([...ofFiles, ...ofNode]);
}

async function readSandboxes(names: readonly string[], globals: Globals): Promise<(readonly [string, Side])[]> {
  if (names.length === 0) return [];
  const [{ withSession, sandboxTarget }, { OriginKind }] = await Promise.all([
    import("./session.ts"),
    import("../gen/berth/v1/sandboxes_pb.js"),
  ]);
  return await withSession(globals, async ({ sandboxes }) =>
    Promise.all(
      names.map(async (text) => {
        const { namespace = globals.namespace, name = text } = SANDBOX.exec(text)?.groups ?? {};
        const { bundles, warnings } = await sandboxes.getBundles({ target: sandboxTarget({ namespace }, name) });
        const withKinds = bundles.map(({ container, configJson, provenance }) => ({
          container,
          configJson,
          provenance: provenance.map(({ pointer, kind, source }) => ({
            pointer,
            kind: (OriginKind[kind] ?? "").toLowerCase() as OriginKindName,
            source,
          })),
        }));
        return [text, { bundles: withKinds, warnings }] as const;
      }),
    ),
  );
}

function isEmpty({ differences, onlyInA, onlyInB }: BundleDiff): boolean {
  return differences.length + onlyInA.length + onlyInB.length === 0;
}

function differenceJson({ a, b, ...where }: Difference): object {
  return { ...where, a: valueJson(a), b: valueJson(b) };
}

function valueJson(value: DiffValue | undefined): object | null {
  if (value === undefined) return null;
  const { origin } = value;
  return { pointer: value.pointer, value: value.value, origin: origin ? { kind: origin.kind, source: origin.source } : null };
}

/** As diff -u: what only A has begins with "-", what only B has with "+". */
function diffText(a: string, b: string, { differences, onlyInA, onlyInB }: BundleDiff): string {
  const lines = [
    `--- ${a}`,
    `+++ ${b}`,
    ...onlyInA.map((name) => `- container ${name}`),
    ...onlyInB.map((name) => `+ container ${name}`),
    ...differences.flatMap(differenceLines),
  ];
  return lines.map(printable).join("\n");
}

/** Where the value is on each side, when it is not the same place, and then what it is there and why. */
function differenceLines({ container, entries, a, b }: Difference): string[] {
  const pointers = [...new Set([a, b].flatMap((value) => value?.pointer ?? []))].join(" → ");
  const about = entries.length === 0 ? "" : ` (${entries.join(", ")})`;
  const signed = [...(a ? [["-", a] as const] : []), ...(b ? [["+", b] as const] : [])];
  const texts = signed.map(([sign, value]) => `  ${sign} ${valueText(value.value)}`);
  const width = texts.reduce((widest, text) => Math.max(widest, Math.min(MAX_COLUMN, text.length)), 0);
  return [
    "",
    `${container}: ${pointers}${about}`,
    ...signed.map(([, value], index) => `${(texts[index] ?? "").padEnd(width)}  # ${originText(value)}`),
  ];
}

const MAX_COLUMN = 60;

function valueText(value: unknown): string {
  return typeof value === "bigint" ? `${value}` : JSON.stringify(value);
}

function originText({ origin }: DiffValue): string {
  return origin ? `${origin.kind}: ${origin.source}` : "origin not known";
}
