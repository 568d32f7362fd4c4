/** The quickstart's example: one sandbox whose apps ask for different rights, what must become of them, and the table that shows it. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SandboxSpecSchema } from "../../gen/berth/v1/sandbox_pb.js";
import { type Cell, grid } from "./grid.ts";
import type { Written } from "./look.ts";
import { type AppReading, differences, type ProcessReading, READER } from "./reading.ts";

/** What every container has when it asks for nothing. */
const DEFAULT = ["AUDIT_WRITE", "KILL", "NET_BIND_SERVICE"];

/** One app of the example. */
export interface ExampleApp {
  readonly name: string;
  readonly add: readonly string[];
  readonly user: number | undefined;
  readonly group: number | undefined;
}

const ADDED = ["NET_ADMIN", "SETUID", "SETGID"];

export const EXAMPLE_APPS: readonly ExampleApp[] = [
  { name: "root-app", add: ADDED, user: 0, group: undefined },
  // What surprises most people: execve takes the capabilities away from everyone but root.
  { name: "user-app", add: ADDED, user: 1000, group: 1000 },
  { name: "plain", add: [], user: undefined, group: undefined },
];

/** Without it runc and crun, which share the host's kernel, are not allowed NET_ADMIN. */
export const EXAMPLE_POLICY = { limits: { capabilities: ADDED } };

export function exampleSpec(runtimeClassName: string, image: string): MessageInitShape<typeof SandboxSpecSchema> {
  const containers = EXAMPLE_APPS.map(({ name, add, user, group }) => ({
    name,
    image,
    command: ["/bin/sh", "-c", READER],
    securityContext: {
      ...(add.length === 0 ? {} : { capabilities: { add: [...add] } }),
      ...(user === undefined ? {} : { runAsUser: BigInt(user) }),
      ...(group === undefined ? {} : { runAsGroup: BigInt(group) }),
    },
  }));
  return { runtimeClassName, containers };
}

/** All that was seen of one container. */
export interface Seen {
  readonly written: Written;
  /** PID 1 of the container. */
  readonly first: ProcessReading;
  /** A child that it exec'ed; pause has none. */
  readonly child: ProcessReading | undefined;
}

export interface SandboxSeen {
  readonly pause: Seen;
  /** By name. */
  readonly apps: ReadonlyMap<string, Seen>;
  readonly warnings: readonly string[];
}

export function seenApp(written: Written, { first, child }: AppReading): Seen {
  return { written, first, child };
}

/** A sentence for each thing that is not as it must be; empty when all holds. */
export function whatDiffers(seen: SandboxSeen): string[] {
  const pause = { bounding: DEFAULT, effective: DEFAULT, uid: 0, gid: 0 };
  return [
    ...writtenDiffers("pause", seen.pause.written, pause),
    ...differences("pause", seen.pause.first, { ...pause, name: "pause", pid: 1 }),
    ...EXAMPLE_APPS.flatMap((app) => appDiffers(app, seen.apps.get(app.name))),
    ...EXAMPLE_APPS.filter(losesItsAdds).flatMap(({ name }) =>
      seen.warnings.some((warning) => warning.includes(name))
        ? []
        : [`${name}: its capabilities are lost at execve and no warning says so`],
    ),
  ];
}

function losesItsAdds(app: ExampleApp): boolean {
  return (app.user ?? 0) !== 0;
}

function appDiffers(app: ExampleApp, seen: Seen | undefined): string[] {
  if (!seen?.child) return [`${app.name}: nothing was read of it`];
  const bounding = [...DEFAULT, ...app.add];
  const expected = { bounding, effective: losesItsAdds(app) ? [] : bounding, uid: app.user ?? 0, gid: app.group ?? 0 };
  return [
    ...writtenDiffers(app.name, seen.written, expected),
    ...differences(`${app.name}, PID 1`, seen.first, { ...expected, name: "sh", pid: 1 }),
    ...differences(`${app.name}, exec'ed child`, seen.child, { ...expected, name: "busybox", pid: undefined }),
  ];
}

function writtenDiffers(who: string, written: Written, expected: { bounding: readonly string[]; uid: number; gid: number }): string[] {
  const found: string[] = [];
  if (written.uid !== expected.uid || written.gid !== expected.gid)
    found.push(`${who}: config.json has user ${written.uid}:${written.gid}, must be ${expected.uid}:${expected.gid}`);
  for (const name of ["bounding", "effective", "inheritable", "permitted"] as const) {
    const [is, must] = [written.sets[name].join(" "), expected.bounding.join(" ")];
    if (is !== must) found.push(`${who}: config.json has ${name} ${is || "empty"}, must be ${must}`);
  }
  if (written.sets.ambient.length > 0) found.push(`${who}: config.json has ambient ${written.sets.ambient.join(" ")}, must be empty`);
  return found;
}

/** 120 characters wide with its lines. */
const WIDTHS = [8, 22, 36, 41];

/** The table: a row for pause and for each app. */
export function seenTable(seen: SandboxSeen): string {
  const header = ["", "asked for", "written in config.json", "effective inside, by /proc/PID/status"];
  const pause = ["pause", ["(made by berthd,", "always the same)"], writtenCell(seen.pause.written), insideCell(seen.pause)];
  const apps = EXAMPLE_APPS.flatMap((app): Cell[][] => {
    const of = seen.apps.get(app.name);
    return of ? [[app.name, askedCell(app), writtenCell(of.written), insideCell(of)]] : [];
  });
  return grid(WIDTHS, header, [pause, ...apps]);
}

function askedCell({ user, group, add }: ExampleApp): Cell {
  if (user === undefined && add.length === 0) return "nothing";
  const who = user === undefined ? [] : [`user ${user}${group === undefined ? "" : `, group ${group}`}`];
  return [...who, ...(add.length === 0 ? [] : [`add ${add.join(" ")}`])];
}

function writtenCell({ uid, gid, sets }: Written): Cell {
  const { ambient, ...four } = sets;
  const texts = new Set(Object.values(four).map((names) => names.join(" ")));
  const same =
    texts.size === 1 ? [sets.bounding.join(" ") || "none"] : Object.entries(four).map(([name, names]) => `${name}: ${names.join(" ")}`);
  return [`user ${uid}, group ${gid}`, ...same, ...(ambient.length > 0 ? [`ambient: ${ambient.join(" ")}`] : [])];
}

function insideCell({ written, first, child }: Seen): Cell {
  // In the order of config.json, so that the eye can compare.
  const order = (name: string): number => (written.sets.bounding.includes(name) ? written.sets.bounding.indexOf(name) : Infinity);
  const effective = ({ sets }: ProcessReading): string => sets.effective.toSorted((a, b) => order(a) - order(b)).join(" ") || "NONE";
  const who = ({ name, pid }: ProcessReading): string => `PID ${pid} (${name})`;
  const user = `user ${first.uid}, group ${first.gid}`;
  if (!child) return [user, `${who(first)}: ${effective(first)}`];
  if (effective(child) === effective(first)) return [user, `${who(first)} and its child ${who(child)}: ${effective(first)}`];
  return [user, `${who(first)}: ${effective(first)}`, `its child ${who(child)}: ${effective(child)}`];
}
