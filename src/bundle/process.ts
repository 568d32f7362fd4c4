/** args, env and cwd of a container, from request and image config. Pure. */

import { BerthError, invalidRequest } from "../errors.ts";
import type { ImageConfig } from "../image/image.ts";

export const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

interface ProcessRequest {
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly workingDir: string;
}

/** Kubernetes' table: command alone drops Cmd, args alone keep Entrypoint, both win, none is Entrypoint + Cmd. `field` is for the error. */
export function processArgs(request: ProcessRequest, image: ImageConfig, field: string): string[] {
  const environment = requestEnvironment(request);
  const expanded = (texts: readonly string[]): string[] => texts.map((text) => expandVariables(text, environment));
  const own = request.command.length > 0 ? expanded(request.command) : [...image.entrypoint];
  const rest = request.args.length > 0 ? expanded(request.args) : request.command.length > 0 ? [] : [...image.cmd];
  const args = [...own, ...rest];
  if (args.some((arg) => arg.includes("\0")))
    throw new BerthError("ImageInvalid", "the image's Entrypoint or Cmd contains a NUL character");
  if (args.length > 0) return args;
  const rule = "is empty and the image has neither Entrypoint nor Cmd";
  throw invalidRequest([{ field: `${field}.command`, rule, value: "[]", allowed: "the program to run" }]);
}

/** Default PATH, then the image's, then the request's; a later value replaces an earlier one in its place. */
export function processEnv(request: ProcessRequest, image: ImageConfig): string[] {
  const variables = new Map<string, string>();
  for (const entry of [DEFAULT_PATH, ...image.env]) {
    const equals = entry.indexOf("=");
    if (equals < 1 || entry.includes("\0"))
      throw new BerthError("ImageInvalid", `the image's Env has the entry ${JSON.stringify(entry)}, which is not NAME=VALUE`);
    variables.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  for (const [name, value] of requestEnvironment(request)) variables.set(name, value);
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

/** Request, image WorkingDir, "/". */
export function processCwd(request: ProcessRequest, image: ImageConfig): string {
  if (request.workingDir !== "") return request.workingDir;
  if (image.workingDir === "") return "/";
  if (!image.workingDir.startsWith("/") || leadsThroughProc(image.workingDir) || image.workingDir.includes("\0")) {
    throw new BerthError(
      "ImageInvalid",
      `the image's WorkingDir ${JSON.stringify(image.workingDir)} is not an absolute path outside /proc; set workingDir, or mend the image`,
    );
  }
  return image.workingDir;
}

/** Whether a path comes to /proc at any of its steps: /proc/self/fd/7/../../.. leaves it again, but somewhere else (CVE-2024-21626). */
export function leadsThroughProc(path: string): boolean {
  const above: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") above.pop();
    else if (part !== "" && part !== ".") above.push(part);
    if (above[0] === "proc") return true;
  }
  return false;
}

/** The request's variables, each value expanded with those before it. */
function requestEnvironment(request: ProcessRequest): Map<string, string> {
  const environment = new Map<string, string>();
  for (const { name, value } of request.env) environment.set(name, expandVariables(value, environment));
  return environment;
}

/**
 * Kubernetes' $(VAR): an unknown name stays as it is, $$ is a dollar sign (k8s.io, "Dependent environment variables").
 * A name goes to the next ')', whatever is in it, so that nothing is expanded inside an unknown one.
 */
export function expandVariables(text: string, environment: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (match, name: string | undefined) =>
    match === "$$" ? "$" : (environment.get(name ?? "") ?? match),
  );
}
