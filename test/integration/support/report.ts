/** Shell scripts that try things inside a container and say one line about each. */

export interface Finding {
  /** Whether the command ended with 0. */
  readonly ok: boolean;
  /** Its output and errors in one line. */
  readonly text: string;
}

/** `try NAME COMMAND…` runs a command and tells what became of it. After `ended` come those of `last`, about which nothing is told. */
export function script(lines: readonly string[], last: readonly string[] = []): string[] {
  const define = `try() { name=$1; shift; if out=$("$@" 2>&1); then how=ok; else how=refused; fi; echo "$name|$how|"$out; }`;
  return ["/bin/sh", "-c", [define, ...lines, "echo ended", ...last].join("\n")];
}

/** What a script told, by name. */
export class Report {
  readonly #findings: ReadonlyMap<string, Finding>;

  constructor(output: string) {
    const lines = output.split("\n").flatMap((line) => {
      const [, name = "", how = "", text = ""] = /^([^|]+)\|(ok|refused)\|(.*)$/.exec(line) ?? [];
      return name === "" ? [] : [[name, { ok: how === "ok", text: text.trim() }] as const];
    });
    this.#findings = new Map(lines);
  }

  /** Throws when the script never came to it. */
  of(name: string): Finding {
    const finding = this.#findings.get(name);
    if (!finding) throw new Error(`the container told nothing about ${name}, only about ${[...this.#findings.keys()].join(", ")}`);
    return finding;
  }

  names(): string[] {
    return [...this.#findings.keys()];
  }

  /** What a command that worked said. Throws when it did not work. */
  text(name: string): string {
    const { ok, text } = this.of(name);
    if (!ok) throw new Error(`${name} failed: ${text}`);
    return text;
  }
}
