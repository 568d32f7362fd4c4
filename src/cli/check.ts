import { type Command, Option } from "commander";
import type { Violation } from "../errors.ts";
import { LEVELS, type Level } from "../policy/control.ts";
import { type Globals, globalsOf } from "./globals.ts";
import { print, printJson, printable, printWarnings } from "./output.ts";

interface CheckOptions {
  readonly file: string;
  readonly level: Level;
}

export function declareCheck(berth: Command): void {
  berth
    .command("check")
    .summary("say what of a file a level of the Pod Security Standards refuses; needs no berthd")
    .description(
      "Holds a sandbox's file against a level of Kubernetes' Pod Security Standards and prints everything that the level does not admit. " +
        "Faults of the document, and what berth does not implement yet, are told apart from that. Needs no berthd and no image.",
    )
    .requiredOption("-f, --file <FILE>", "as for run")
    .addOption(new Option("--level <LEVEL>", "what to hold it against").choices(LEVELS).default("baseline"))
    .addHelpText(
      "after",
      `
Exit codes: 0 admitted, 1 refused: the level does not admit it, or the document has faults. Fields that berth does not implement
do not count: the file may be right all the same, though run would refuse it. Nor does metadata.name, which a template may leave open.

With -o json: {"level", "admitted", "violations": [{"field", "rule", "value", "allowed"}], "notImplemented": [...], "faults": [...], "warnings": [...]}.

Example:
  berth check -f pod.yaml --level restricted
  berth check -f pod.yaml -o json | jq -r '.violations[].field'`,
    )
    .action(async (options: CheckOptions, command: Command) => check(options, globalsOf(command)));
}

async function check({ file, level }: CheckOptions, globals: Globals): Promise<void> {
  const [{ readText }, { examineDocument }, { levelViolations }, { ToldError, violationText }] = await Promise.all([
    import("./file.ts"),
    import("../sandbox/examine.ts"),
    import("../policy/levels.ts"),
    import("./failure.ts"),
  ]);
  const filename = file === "-" ? "stdin" : file;
  const { pod, faults, notImplemented, warnings } = examineDocument(await readText(file), filename, { namespace: globals.namespace });
  const violations = levelViolations(pod, level);
  const admitted = violations.length === 0 && faults.length === 0;
  if (globals.json) {
    printJson({ level, admitted, violations, notImplemented, faults, warnings });
  } else {
    print(`${printable(filename)}: ${verdict(level, violations, faults)}`);
    printList(`${level} does not admit`, violations.map(violationText));
    printList("faults of the document", faults.map(violationText));
    printList("not implemented by berth, run would refuse the file", notImplemented.map(fieldAndRule));
    printWarnings(warnings);
  }
  if (!admitted) throw new ToldError();
}

function verdict(level: Level, violations: readonly Violation[], faults: readonly Violation[]): string {
  if (violations.length > 0) return `refused by ${level}`;
  return faults.length > 0 ? "refused for its faults" : `admitted by ${level}`;
}

/** The value of a whole field that is not implemented says nothing. */
function fieldAndRule({ field, rule }: Violation): string {
  return `${field}: ${rule}`;
}

function printList(title: string, lines: readonly string[]): void {
  if (lines.length > 0) print([`${title}:`, ...lines.map((line) => `  ${printable(line)}`)].join("\n"));
}
