/** berth.yaml: what a node may set. Every error names the field. */

import { existsSync, readFileSync } from "node:fs";
import * as z from "zod";
import { BerthError } from "./errors.ts";
import { violationsOf } from "./violations.ts";

export const DEFAULT_CONFIG_FILE = "/etc/berth/berth.yaml";

/**
 * Flags that a class may set, by adapter: those that change neither where state lies nor what berthd promises. One that ends in '='
 * needs its value behind it: alone it would take the next argument for it, such as the verb.
 */
const ALLOWED_FLAGS = {
  runsc: ["--platform=", "--directfs", "--file-access=", "--debug", "--debug-log=", "--strace", "--gofer-network-namespace="],
  runc: ["--debug"],
  crun: ["--debug"],
} as const;

function matching(pattern: RegExp, message: string, allowed: string): z.ZodString {
  return z.string().refine((text) => pattern.test(text), { error: message, params: { allowed } });
}

const className = matching(
  /^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/,
  "is not a class name",
  "1 to 63 lower-case letters, digits, '-' and '.', a letter or digit at both ends",
);
const absolutePath = matching(/^\//, "is not absolute", "a path that starts with '/'");

const runtimeClass = z
  .strictObject({
    name: className,
    aliases: z.array(className).prefault([]),
    adapter: z.enum(["runsc", "runc", "crun"]),
    /** A name is looked up in PATH. */
    binary: matching(/^(\/.*|[^/]+)$/, "is neither a path nor a name", "an absolute path, or a name without '/'"),
    flags: z.array(z.string()).prefault([]),
    /** Version for offline rendering, where the binary is not asked; the newest known when absent. */
    version: z.string().optional(),
  })
  .superRefine((entry, context) => {
    const allowed: readonly string[] = ALLOWED_FLAGS[entry.adapter];
    for (const [index, flag] of entry.flags.entries()) {
      const [name = "", ...value] = flag.split("=");
      if (allowed.includes(name) || (allowed.includes(`${name}=`) && value.join("=") !== "")) continue;
      context.addIssue({
        code: "custom",
        path: ["flags", index],
        input: flag,
        message: `is not a flag that a class of ${entry.adapter} may set`,
        params: { allowed: allowed.map((known) => (known.endsWith("=") ? `${known}VALUE` : known)).join(", ") },
      });
    }
  });

export type RuntimeClassConfig = z.output<typeof runtimeClass>;

const BUILT_IN_CLASSES: z.input<typeof runtimeClass>[] = [
  { name: "runsc", aliases: ["gvisor"], adapter: "runsc", binary: "runsc" },
  { name: "runc", adapter: "runc", binary: "runc" },
  { name: "crun", adapter: "crun", binary: "crun" },
];

const config = z
  .strictObject({
    /** Beside the built-in classes runsc (alias gvisor), runc and crun; one of the same name replaces it. */
    runtimeClasses: z.array(runtimeClass).prefault([]),
    defaultRuntimeClass: className.prefault("runsc"),
    /** How the inheritable set is made. */
    capabilityMode: z.enum(["merged", "no-inheritable"]).prefault("merged"),
    /** What every container starts from: the three of berth, or the 14 that container engines give. */
    defaultCapabilities: z.enum(["seed", "kubernetes"]).prefault("seed"),
    /** Group of all sandboxes in every cgroup hierarchy. */
    cgroupRoot: matching(
      /^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9_.-]+)+$/,
      "is not the path of a cgroup",
      "an absolute path of letters, digits, '_', '-' and '.', without '.' and '..' as parts",
    ).prefault("/berth.slice"),
    /** Folder of the seccomp profiles that a spec may name with type Localhost. */
    seccompProfileDir: absolutePath.prefault("/etc/berth/seccomp"),
    /** Static program of the pause container; called with -P. */
    pauseBinary: absolutePath.prefault("/usr/bin/catatonit"),
  })
  .transform((value) => {
    const own = new Set(value.runtimeClasses.map((entry) => entry.name));
    const builtIn = BUILT_IN_CLASSES.filter((entry) => !own.has(entry.name)).map((entry) => runtimeClass.parse(entry));
    return { ...value, runtimeClasses: [...builtIn, ...value.runtimeClasses] };
  })
  .superRefine((value, context) => {
    const names = value.runtimeClasses.flatMap((entry) => [entry.name, ...entry.aliases]);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined)
      context.addIssue({
        code: "custom",
        path: ["runtimeClasses"],
        input: twice,
        message: `uses the name ${twice} twice`,
        params: { allowed: "a name of its own for each class" },
      });
    if (names.includes(value.defaultRuntimeClass)) return;
    context.addIssue({
      code: "custom",
      path: ["defaultRuntimeClass"],
      input: value.defaultRuntimeClass,
      message: "is not a runtime class",
      params: { allowed: names.join(", ") },
    });
  });

export type BerthConfig = z.output<typeof config>;

/** Reads a config file; without a path the default one where it exists, else the defaults. Throws InvalidRequest naming every wrong field. */
export async function loadConfig(path: string | undefined): Promise<BerthConfig> {
  const file = path ?? (existsSync(DEFAULT_CONFIG_FILE) ? DEFAULT_CONFIG_FILE : undefined);
  if (file === undefined) return config.parse({});
  const { parse } = await import("yaml");
  let document: unknown;
  try {
    document = parse(readFileSync(file, "utf8"), { uniqueKeys: true }) ?? {};
  } catch (error) {
    throw new BerthError("InvalidRequest", `cannot read the config ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const parsed = config.safeParse(document, { reportInput: true });
  if (parsed.success) return parsed.data;
  const violations = violationsOf(parsed.error, document);
  const lines = violations.map(
    (v) => `${v.field || "the whole"}: ${v.rule} (found ${v.value}${v.allowed === "" ? "" : `; allowed: ${v.allowed}`})`,
  );
  throw new BerthError("InvalidRequest", `the config ${file} is refused: ${lines.join("; ")}`, { violations });
}
