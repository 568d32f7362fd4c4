// Reads the machine's apt sources, both deb822 (*.sources) and one-line (*.list): that is where the mirror's address stands.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** @typedef {{ uri: string, suites: string[], components: string[], options: Record<string, string> }} AptEntry */

/** Entries for binary packages that are switched on.
 * @param {string} folder Such as /etc/apt. @returns {AptEntry[]} */
export function readAptEntries(folder) {
  const parts = join(folder, "sources.list.d");
  const files = [
    join(folder, "sources.list"),
    ...(existsSync(parts)
      ? readdirSync(parts)
          .toSorted()
          .map((name) => join(parts, name))
      : []),
  ];
  return files.filter((file) => existsSync(file)).flatMap(readFile);
}

/** @param {string} file @returns {AptEntry[]} */
function readFile(file) {
  const text = readFileSync(file, "utf8");
  if (file.endsWith(".sources")) return parseDeb822(text);
  return file.endsWith(".list") ? parseOneLine(text) : [];
}

/** @param {string} text @returns {AptEntry[]} */
export function parseOneLine(text) {
  return text.split("\n").flatMap((line) => {
    const found = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)([^#]*)/.exec(line);
    if (found === null) return [];
    const [, options = "", uri = "", suite = "", components = ""] = found;
    const pairs = words(options).map((word) => word.split("=", 2));
    return [{ uri, suites: [suite], components: words(components), options: Object.fromEntries(pairs) }];
  });
}

/** @param {string} text @returns {AptEntry[]} */
export function parseDeb822(text) {
  return text.split(/\n\s*\n/).flatMap((paragraph) => {
    const fields = deb822Fields(paragraph);
    if (!words(fields["types"]).includes("deb") || /^(no|false|off|0)$/i.test(fields["enabled"] ?? "yes")) return [];
    return words(fields["uris"]).map((uri) => ({
      uri,
      suites: words(fields["suites"]),
      components: words(fields["components"]),
      options: deb822Options(fields),
    }));
  });
}

/** Field names in lower case; lines that start with a space go on with the field above.
 * @param {string} paragraph @returns {Record<string, string>} */
function deb822Fields(paragraph) {
  const lines = paragraph
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .replaceAll(/\n[ \t]+/g, "\n ");
  const pairs = [...lines.matchAll(/^([\w-]+):((?:.|\n )*)/gm)].map(([, name = "", value = ""]) => [
    name.toLowerCase(),
    value.replaceAll("\n", " ").trim(),
  ]);
  return Object.fromEntries(pairs);
}

/** A key written into the file itself cannot stand in a one-line entry: the default key is taken then.
 * @param {Record<string, string>} fields @returns {Record<string, string>} */
function deb822Options(fields) {
  const signedBy = fields["signed-by"];
  const trusted = fields["trusted"];
  return {
    ...(signedBy === undefined || signedBy.includes("BEGIN PGP") ? {} : { "signed-by": words(signedBy).join(",") }),
    ...(trusted === undefined ? {} : { trusted }),
  };
}

/** @param {string | undefined} text @returns {string[]} */
function words(text) {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}
