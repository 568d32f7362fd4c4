// runsc: one of 2024 or newer is used as it is; where there is none, Debian's backport is installed.
// Debian 12's own is of 2022: it breaks Debian 12's userland inside and cannot restore a sandbox of several containers.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aptGet, requireApt } from "./debian.mjs";
import { readAptEntries } from "./apt-sources.mjs";
import { findCommand, run, SetupError } from "./tools.mjs";

/** First release date that berth accepts. */
const OLDEST = 20240101;
const DEBIAN_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** @typedef {{ kind: "missing" } | { kind: "unusable", why: string } | { kind: "good", path: string, release: number }} RunscState */

/** What runsc the machine has on PATH.
 * @param {string} [path] @returns {RunscState} */
export function runscState(path) {
  const file = findCommand("runsc", path);
  if (file === undefined) return { kind: "missing" };
  const release = releaseOf(run(file, ["--version"], { timeoutMs: 20_000 }));
  if (release === undefined)
    return { kind: "unusable", why: `${file} does not tell its release date; berth needs a runsc of 2024 or newer` };
  if (release < OLDEST) {
    const advice = "remove it (setup then installs the one of bookworm-backports) or put a newer one before it on PATH";
    return { kind: "unusable", why: `${file} is of ${release}, too old: berth needs a runsc of 2024 or newer; ${advice}` };
  }
  return { kind: "good", path: file, release };
}

/** The date in what `runsc --version` prints, as a number such as 20240729.
 * @param {string} text */
export function releaseOf(text) {
  const date = /runsc version \D*(?:\d+\.\d+~)?(20\d{6})/.exec(text)?.[1];
  return date === undefined ? undefined : Number(date);
}

/** Installs the distribution's newest runsc without touching the system's sources.
 * @param {(line: string) => void} say */
export function installRunsc(say) {
  requireApt("runsc");
  say("installing runsc (apt-get, from backports)");
  const failures = debianSourceLines().map(tryInstall);
  if (failures.every((why) => why !== undefined)) {
    const why = failures.join("\n") || "the machine's apt sources have no Debian main archive";
    throw new SetupError(`runsc could not be installed; put one of 2024 or newer on PATH.\n${why}`);
  }
  const state = runscState();
  if (state.kind !== "good") throw new SetupError(state.kind === "unusable" ? state.why : "runsc was installed, but is not on PATH");
}

/** @param {string} line A line for a sources list. @returns {string | undefined} Why it did not work. */
function tryInstall(line) {
  if (findCommand("runsc") !== undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "berth-apt-"));
  try {
    downloadRunsc(folder, line);
    const file = readdirSync(folder).find((name) => name.endsWith(".deb"));
    aptGet(["install", "--yes", "--no-install-recommends", `./${file}`], folder);
    return undefined;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return error.message;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {string} folder @param {string} line */
function downloadRunsc(folder, line) {
  writeFileSync(join(folder, "berth.list"), `${line}\n`);
  mkdirSync(join(folder, "lists/partial"), { recursive: true });
  const options = {
    "Dir::Etc::sourcelist": join(folder, "berth.list"),
    "Dir::Etc::sourceparts": "-",
    "Dir::State::lists": join(folder, "lists"),
    // The system's package cache knows nothing of this list and must not learn it.
    "Dir::Cache::pkgcache": "",
    "Dir::Cache::srcpkgcache": "",
    "APT::Sandbox::User": "root",
  };
  const given = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  aptGet([...given, "update"]);
  aptGet([...given, "download", "runsc"], folder);
}

/** Lines for a sources list, likeliest first: the machine's own Debian archives, with the suite that has a new runsc.
 * @param {string} [folder] Where apt's configuration lies. @param {string} [codename] */
export function debianSourceLines(folder = "/etc/apt", codename = osCodename()) {
  const suite = codename === "bookworm" ? "bookworm-backports" : codename;
  const mains = readAptEntries(folder).filter((entry) => entry.suites.includes(codename) && entry.components.includes("main"));
  const debianFirst = mains.toSorted((a, b) => Number(isDebianArchive(b)) - Number(isDebianArchive(a)));
  return [...new Set(debianFirst.map(({ uri, options }) => `deb [${sourceOptions(options)}] ${uri} ${suite} main`))];
}

/** @param {import("./apt-sources.mjs").AptEntry} entry */
function isDebianArchive({ uri, options }) {
  return /debian\/?$/.test(uri) || (options["signed-by"] ?? "").includes("debian-archive-keyring");
}

/** @param {Record<string, string>} options */
function sourceOptions(options) {
  const trusted = options["trusted"] === undefined ? "" : ` trusted=${options["trusted"]}`;
  return `signed-by=${options["signed-by"] ?? DEBIAN_KEYS}${trusted}`;
}

function osCodename() {
  return /^VERSION_CODENAME="?(\w+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "";
}
