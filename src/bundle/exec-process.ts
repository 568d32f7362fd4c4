/** What exec runs in a container: the container's own process with another program. Pure. */

/** `process` of config.json as it was written: whatever it says of user, rights and limits holds for exec too. */
export interface ContainerProcess {
  readonly env: readonly string[];
  readonly cwd: string;
}

export interface ExecProgram {
  readonly command: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  /** Empty: the container's. */
  readonly workingDir: string;
  readonly tty: boolean;
  readonly terminalSize?: { readonly columns: number; readonly rows: number } | undefined;
}

/** Reads process out of config.json's text. Numbers stay as they are written: a limit may be 2^64 - 1. Throws when it is no such text. */
export function containerProcess(configJson: string): ContainerProcess {
  const exact = (_key: string, value: unknown, { source }: { source?: string }): unknown =>
    typeof value === "number" && source !== undefined ? JSON.rawJSON(source) : value;
  const { process } = JSON.parse(configJson, exact) as { process: ContainerProcess };
  return process;
}

/** The text of the process file for a runtime's exec: only program, environment, folder and terminal differ from the container's process. */
export function execProcessJson(container: ContainerProcess, { command, env, workingDir, tty, terminalSize }: ExecProgram): string {
  const variables = new Map(container.env.map((entry) => [entry.slice(0, entry.indexOf("=")), entry]));
  for (const { name, value } of env) variables.set(name, `${name}=${value}`);
  const cwd = workingDir === "" ? container.cwd : workingDir;
  // runc and crun would otherwise set it only after the program has started.
  const size = terminalSize && { consoleSize: { height: terminalSize.rows, width: terminalSize.columns } };
  return JSON.stringify({ ...container, terminal: tty, ...size, args: command, env: [...variables.values()], cwd });
}
