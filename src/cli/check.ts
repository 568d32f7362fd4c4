import { type Command, Option } from "commander";
import type { Violation } from "../errors.ts";
import { LEVELS, type Level } from "../policy/control.ts";
import type { Examination } from "../sandbox/examine.ts";
import { type Globals, globalsOf } from "./globals.ts";
import { print, printJson, printable, printWarnings } from "./output.ts";

interface CheckOptions {
  readonly file: string;
  readonly level?: Level;
  readonly policy?: string;
  readonly config?: string;
}

export function declareCheck(berth: Command): void {
  berth
    .command("check")
    .summary("say what of a file a level or a node's policy refuses; needs no berthd")
    .description(
      "Holds a sandbox's file against a level of Kubernetes' Pod Security Standards, or against a node's policy.yaml with its defaults, level " +
        "and limits, and prints everything that is not admitted. Faults of the document, and what berth does not implement yet, are told apart " +
        "from that. Needs no berthd and no image.",
    )
    .requiredOption("-f, --file <FILE>", "as for run")
    .addOption(new Option("--level <LEVEL>", "what to hold it against (default: the policy's level, without one baseline)").choices(LEVELS))
    .option("--policy <FILE>", "a policy.yaml; what depends on an image is told as a warning")
    .option("--config <FILE>", "config of berthd with the node's runtime classes (default: /etc/berth/berth.yaml where it exists)")
    .addHelpText(
      "after",
      `
Exit codes: 0 admitted, 1 refused: level or policy does not admit it, or the document has faults. Fields that berth does not implement
do not count: the file may be right all the same, though run would refuse it. Nor does metadata.name, which a template may leave open.

With -o json: {"level", "admitted", "violations": [{"field", "rule", "value", "allowed"}], "notImplemented": [...], "faults": [...], "warnings": [...]};
with --policy "policy" too, its file.

Example:
  berth check -f pod.yaml --level restricted
  berth check -f pod.yaml --policy /etc/berth/policy.yaml
  berth check -f pod.yaml -o json | jq -r '.violations[].field'`,
    )
    .action(async (options: CheckOptions, command: Command) => check(options, globalsOf(command)));
}

async function check({ file, level, policy, config }: CheckOptions, globals: Globals): Promise<void> {
  const [{ readText }, { examineDocument }, { ToldError, violationText }] = await Promise.all([
    import("./file.ts"),
    import("../sandbox/examine.ts"),
    import("./failure.ts"),
  ]);
  const filename = file === "-" ? "stdin" : file;
  const examined = examineDocument(await readText(file), filename, { namespace: globals.namespace });
  const { faults, notImplemented } = examined;
  const held =
    policy === undefined ? await againstLevel(examined.pod, level) : await againstPolicy(examined, { file: policy, config, level });
  const warnings = [...examined.warnings, ...held.warnings];
  const admitted = held.violations.length === 0 && faults.length === 0;
  if (globals.json) {
    const named = policy === undefined ? {} : { policy };
    printJson({ level: held.level, ...named, admitted, violations: held.violations, notImplemented, faults, warnings });
  } else {
    const by = policy ?? held.level;
    print(`${printable(filename)}: ${verdict(by, held.violations, faults)}`);
    printList(`${by} does not admit`, held.violations.map(violationText));
    printList("faults of the document", faults.map(violationText));
    printList("not implemented by berth, run would refuse the file", notImplemented.map(fieldAndRule));
    printWarnings(warnings);
  }
  if (!admitted) throw new ToldError();
}

/** What was found out about a document. */
interface Held {
  readonly level: Level;
  readonly violations: readonly Violation[];
  readonly warnings: readonly string[];
}

async function againstLevel(pod: unknown, level: Level = "baseline"): Promise<Held> {
  const { levelViolations } = await import("../policy/levels.ts");
  return { level, violations: levelViolations(pod, level), warnings: [] };
}

interface PolicyToHold {
  readonly file: string;
  readonly config: string | undefined;
  /** In place of the policy's own. */
  readonly level: Level | undefined;
}

async function againstPolicy({ pod, request }: Examination, { file, config, level }: PolicyToHold): Promise<Held> {
  const [{ loadConfig }, { loadPolicy }, { examineRequest }] = await Promise.all([
    import("../config.ts"),
    import("../policy-file.ts"),
    import("../sandbox/admit.ts"),
  ]);
  const node = await loadConfig(config);
  const read = await loadPolicy(file, node);
  const policy = level === undefined ? read : { ...read, level, sources: new Map([...read.sources, ["level", "--level"]]) };
  if (request === undefined) {
    const held = await againstLevel(pod, policy.level);
    return { ...held, warnings: ["defaults and limits of the policy are not looked at: the document has faults"] };
  }
  const { violations, open } = examineRequest(request, pod, policy, node);
  const warnings = open.map(
    (field) => `${field}: the image decides, so what the policy allows is held against it when the sandbox is created`,
  );
  return { level: policy.level, violations, warnings };
}

function verdict(by: string, violations: readonly Violation[], faults: readonly Violation[]): string {
  if (violations.length > 0) return `refused by ${printable(by)}`;
  return faults.length > 0 ? "refused for its faults" : `admitted by ${printable(by)}`;
}

/** The value of a whole field that is not implemented says nothing. */
function fieldAndRule({ field, rule }: Violation): string {
  return `${field}: ${rule}`;
}

function printList(title: string, lines: readonly string[]): void {
  if (lines.length > 0) print([`${title}:`, ...lines.map((line) => `  ${printable(line)}`)].join("\n"));
}
