// Imports go one way: cli, api → sandbox → rooms → host, errors. Types may be imported against the arrow (a room may
// name the record it is handed), code may not.

/** Rooms that sandbox/ puts together. */
const ROOMS = "^src/(bundle|policy|runtime|monitor|image|rootfs|volume|network|journal|identity|credential|observe)/";
/** Rooms that are pure: no file, no clock, no process. Only bundle/write.ts writes. */
const PURE = "^src/(bundle|policy)/(?!write\\.ts$)";
/** What of api/ is on the client's side: berthd's client, and the messages' two-way translation. */
const CLIENT = "^src/api/(client|wire|unix-socket)\\.ts$";
/** Code, as against types. */
const CODE = { dependencyTypesNot: ["type-only"] };

/** @param {string} name @param {string} comment @param {object} from @param {object} to */
function forbid(name, comment, from, to) {
  return { name, comment, severity: "error", from, to };
}

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    forbid("no-cycles", "A cycle of code has no first file to read", {}, { circular: true, viaOnly: CODE }),
    forbid("resolvable", "An import that leads nowhere", {}, { couldNotResolve: true }),
    forbid("no-undeclared-packages", "A package that package.json does not name", {}, { dependencyTypes: ["npm-no-pkg", "npm-unknown"] }),
    forbid(
      "no-dev-packages",
      "What is shipped imports no development package",
      { path: "^src/", pathNot: "^src/dev/" },
      { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    ),
    forbid("nobody-imports-dev", "src/dev is not shipped", { pathNot: "^src/dev/" }, { path: "^src/dev/" }),
    forbid(
      "cli-and-api-on-top",
      "Only the programs' entries import cli or api",
      { pathNot: "^src/(cli/|api/|dev/|main\\.ts$|daemon\\.ts$)" },
      { path: "^src/(cli|api)/", ...CODE },
    ),
    forbid(
      "cli-not-server",
      "The command line talks to berthd over the socket",
      { path: "^src/cli/" },
      { path: "^src/api/", pathNot: CLIENT, ...CODE },
    ),
    forbid("api-not-cli", "berthd does not know its command line", { path: "^src/api/" }, { path: "^src/cli/", ...CODE }),
    forbid(
      "gen-is-the-wire",
      "Messages of the wire stay in api and cli: what lies below has types of its own",
      { path: "^src/", pathNot: "^src/(api|cli|gen|dev)/" },
      { path: "^src/gen/" },
    ),
    forbid(
      "daemon-constructs",
      "Only the composition roots know all rooms",
      { path: "^src/", pathNot: "^src/(main\\.ts$|dev/)" },
      { path: "^src/(main|daemon)\\.ts$", ...CODE },
    ),
    forbid(
      "api-decides-nothing",
      "api decodes, calls sandbox and encodes; daemon.ts hands it what it needs",
      { path: "^src/api/" },
      { path: "^src/", pathNot: "^src/(api|sandbox|observe|gen)/|^src/errors\\.ts$", ...CODE },
    ),
    forbid(
      "cli-is-a-client",
      "The command line shares the spec's parser with berthd; only render, diff and check work without a daemon",
      { path: "^src/cli/", pathNot: "^src/cli/(render|diff|offline|check)\\.ts$" },
      { path: "^src/", pathNot: `^src/(cli|sandbox|gen)/|^src/(errors|observe/version)\\.ts$|${CLIENT}`, ...CODE },
    ),
    forbid("rooms-below-sandbox", "A room does not know who puts rooms together", { path: ROOMS }, { path: "^src/sandbox/", ...CODE }),
    forbid(
      "host-is-a-port",
      "host knows the operating system and nothing of berth",
      { path: "^src/host/" },
      { path: "^src/", pathNot: "^src/host/|^src/errors\\.ts$" },
    ),
    forbid("errors-alone", "errors.ts is below everything", { path: "^src/errors\\.ts$" }, { path: "^src/" }),
    forbid(
      "pure-rooms-import-pure-code",
      "bundle and policy import nobody who touches the system",
      { path: PURE },
      { path: "^src/", pathNot: `${PURE}|^src/(errors|violations|yaml)\\.ts$`, ...CODE },
    ),
    forbid(
      "pure-rooms-touch-nothing",
      "From spec to bytes there is no file, no clock and no process",
      { path: PURE },
      { dependencyTypes: ["core"], pathNot: "^(node:)?(path|path/posix|util|assert|buffer)$" },
    ),
    forbid(
      "pure-rooms-run-nothing",
      "No process and no system call in pure rooms",
      { path: PURE },
      { path: "node_modules/(execa|koffi)/" },
    ),
    forbid("koffi-in-host", "System calls stand behind host/", { path: "^src/", pathNot: "^src/host/" }, { path: "node_modules/koffi/" }),
    forbid(
      "execa-in-host",
      "Commands are run behind host/",
      { path: "^src/", pathNot: "^src/(host|dev)/" },
      { path: "node_modules/execa/" },
    ),
  ],
  options: {
    doNotFollow: { path: ["node_modules", "^src/gen"] },
    exclude: { path: "^dist/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "node", "default"],
      extensions: [".ts", ".mjs", ".js", ".d.ts"],
    },
  },
};
