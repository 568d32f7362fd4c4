// Debian packages that berth's runtimes and tests need, each with what proves that it is there.
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { findCommand, requireRoot, run, SetupError } from "./tools.mjs";

/** Package → whether what berth needs of it is there, from whatever package it came.
 * @type {Readonly<Record<string, () => boolean>>} */
const PACKAGES = {
  runc: () => hasCommand("runc"),
  crun: () => hasCommand("crun"),
  conmon: () => hasCommand("conmon"),
  catatonit: () => hasCommand("catatonit"),
  iproute2: () => hasCommand("ip"),
  "util-linux": () => ["unshare", "nsenter", "setpriv", "prlimit", "flock"].every(hasCommand),
  "libcap2-bin": () => ["capsh", "setcap", "getcap"].every(hasCommand),
  "busybox-static": () => isStatic(findCommand("busybox")),
  // systemd-analyze reads the unit in a test; PID 1 may be anything.
  systemd: () => hasCommand("systemd-analyze"),
};

/** Where OCI_SCHEMA_PACKAGE has the JSON schema of the OCI runtime specification. */
export const OCI_SCHEMA = "/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema";
const OCI_SCHEMA_PACKAGE = "golang-github-opencontainers-specs-dev";

/** Nothing but the conformance run needs it. @param {(line: string) => void} say */
export function installOciSchema(say) {
  installExtra([OCI_SCHEMA_PACKAGE], () => existsSync(OCI_SCHEMA), `there is no ${OCI_SCHEMA}: give --oci-schema DIR`, say);
}

/** Nothing but the tests needs it, which run static programs of their own inside sandboxes. @param {(line: string) => void} say */
export function installCompiler(say) {
  installExtra(["gcc", "libc6-dev"], canLinkStatically, "gcc finds no libc.a", say);
}

/** Whether gcc finds libc.a; for a file that it does not find it prints the bare name. */
function canLinkStatically() {
  const gcc = findCommand("gcc");
  return gcc !== undefined && run(gcc, ["-print-file-name=libc.a"]).startsWith("/");
}

/** Packages that one command alone needs.
 * @param {readonly string[]} packages @param {() => boolean} isThere
 * @param {string} otherwise What is said when they were installed and it still is not there.
 * @param {(line: string) => void} say */
function installExtra(packages, isThere, otherwise, say) {
  if (isThere()) return;
  const names = packages.join(" ");
  requireApt(names);
  say(`installing ${names} (apt-get)`);
  aptGet(["update"]);
  aptGet(["install", "--yes", "--no-install-recommends", ...packages]);
  if (!isThere()) throw new SetupError(`installed ${names}, but ${otherwise}`);
}

/** @returns {string[]} */
export function missingDebianPackages() {
  return Object.entries(PACKAGES)
    .filter(([, isThere]) => !isThere())
    .map(([name]) => name);
}

/** @param {readonly string[]} packages @param {(line: string) => void} say */
export function installDebianPackages(packages, say) {
  requireApt(packages.join(" "));
  say(`installing ${packages.join(" ")} (apt-get)`);
  aptGet(["update"]);
  aptGet(["install", "--yes", "--no-install-recommends", ...packages]);
  const still = packages.filter((name) => PACKAGES[name]?.() !== true);
  if (still.length > 0) throw new SetupError(`installed, but what is needed of them is not there: ${still.join(" ")}`);
}

/** Throws unless this is a Debian with apt, and root.
 * @param {string} what What is missing, for the text. */
export function requireApt(what) {
  if (findCommand("apt-get") === undefined || findCommand("dpkg") === undefined) {
    throw new SetupError(`this machine has no apt-get; install by other means what is missing: ${what}`);
  }
  requireRoot(what);
}

/** apt-get without questions, waiting for another apt or dpkg that holds the lock.
 * @param {readonly string[]} args @param {string} [cwd] */
export function aptGet(args, cwd) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" };
  return run("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0", ...args], {
    env,
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/** @param {string} name */
function hasCommand(name) {
  return findCommand(name) !== undefined;
}

/** Whether a 64-bit ELF file names no interpreter (Debian's plain busybox package has a dynamic one of the same name).
 * @param {string | undefined} file */
export function isStatic(file) {
  if (file === undefined) return false;
  const head = Buffer.alloc(4096);
  const fd = openSync(file, "r");
  try {
    readSync(fd, head, 0, head.length, 0);
  } finally {
    closeSync(fd);
  }
  if (head.toString("latin1", 0, 5) !== "\x7fELF\x02") return false;
  const PT_INTERP = 3;
  const table = Number(head.readBigUInt64LE(32));
  const size = head.readUInt16LE(54);
  return Array.from({ length: head.readUInt16LE(56) }, (_, i) => head.readUInt32LE(table + i * size)).every((type) => type !== PT_INTERP);
}
