import type { Architecture } from "../bundle/seccomp-default.ts";

/** The node's processor. Node's other names count as x86-64: the runtimes add the real one to a filter by themselves. */
export function nodeArchitecture(): Architecture {
  return process.arch === "arm64" ? "arm64" : "x86-64";
}
