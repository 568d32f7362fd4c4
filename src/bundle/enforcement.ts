/** What becomes of each property that was asked for: enforced or not, by what means, what to do. Pure. */

import { type Capability, type CapabilityRequest, type CapabilitySets, finalCapabilities } from "./capabilities.ts";

/** What becomes of one property that was asked for. */
export interface EnforcementEntry {
  /** Container that it is about; empty for the sandbox. */
  container: string;
  /** Field of the spec, such as securityContext.capabilities.add. */
  property: string;
  requested: string;
  enforced: boolean;
  /** By what means, or what prevents it. */
  mechanism: string;
  /** What to do or to know. */
  note: string;
}

export interface EnforcementInput {
  readonly container: string;
  readonly request: {
    readonly capabilities: CapabilityRequest;
    readonly runAsUser?: number | undefined;
    readonly runAsGroup?: number | undefined;
  };
  readonly uid: number;
  readonly sets: CapabilitySets;
  readonly adapter: "runsc" | "runc" | "crun";
  /** The runtime passes ambient capabilities on. */
  readonly ambient: boolean;
  /** What the node's agent may give under a runtime that shares the kernel; undefined when not known. */
  readonly nodeCapabilities: ReadonlySet<string> | undefined;
}

export function containerEnforcement(input: EnforcementInput): EnforcementEntry[] {
  return [...addEntries(input), ...dropEntries(input), ...ambientEntries(input), ...userEntries(input)];
}

/** Capabilities of the final set that the agent's own bounding set lacks: runc and crun cannot give them. */
export function missingOnNode(
  request: CapabilityRequest,
  adapter: EnforcementInput["adapter"],
  node: ReadonlySet<string> | undefined,
): Capability[] {
  if (adapter === "runsc" || node === undefined) return [];
  return finalCapabilities(request).filter((name) => !node.has(name));
}

const grantedBy = (input: EnforcementInput): string => (input.adapter === "runsc" ? "the sandbox's own kernel" : "the host's kernel");

function addEntries(input: EnforcementInput): EnforcementEntry[] {
  const added = input.sets.bounding.filter(
    (name) => input.request.capabilities.add.includes(name) || input.request.capabilities.add.includes("ALL"),
  );
  if (added.length === 0) return [];
  const entry = (names: readonly string[], enforced: boolean, mechanism: string, note: string): EnforcementEntry => ({
    container: input.container,
    property: "securityContext.capabilities.add",
    requested: names.join(" "),
    enforced,
    mechanism,
    note,
  });
  const missing = missingOnNode(input.request.capabilities, input.adapter, input.nodeCapabilities);
  const lost =
    missing.length > 0
      ? [entry(missing, false, "not in the node agent's own bounding set", "give berthd the capability, or use runtime class runsc")]
      : [];
  const here = added.filter((name) => !missing.includes(name));
  if (input.uid !== 0) {
    const kept = here.filter((name) => input.ambient && (input.sets.ambient ?? []).includes(name));
    const cleared = here.filter((name) => !kept.includes(name));
    if (kept.length > 0) lost.push(entry(kept, true, `ambient set, ${grantedBy(input)}`, ""));
    if (cleared.length > 0)
      lost.push(
        entry(cleared, false, `execve clears permitted and effective for uid ${input.uid} unless a capability is ambient`, wayOut(input)),
      );
    return lost;
  }
  const isFlag = (name: Capability): boolean => input.adapter === "runsc" && name === "CAP_NET_RAW";
  const raw = here.filter(isFlag);
  const rest = here.filter((name) => !isFlag(name));
  if (rest.length > 0) lost.push(entry(rest, true, grantedBy(input), ""));
  if (raw.length > 0) lost.push(entry(raw, true, "runsc --net-raw, a flag of the whole sandbox", ""));
  return lost;
}

function wayOut(input: EnforcementInput): string {
  const asRoot = "run as user 0 and let the program drop to its user itself (SETUID, SETGID, SETPCAP)";
  if (!input.ambient)
    return `this runsc knows no ambient capabilities: ${asRoot}, or use a runsc of June 2026 or newer with capabilities.ambient: auto`;
  return `ask for capabilities.ambient: auto, or ${asRoot}`;
}

function dropEntries(input: EnforcementInput): EnforcementEntry[] {
  const { drop } = input.request.capabilities;
  if (drop.length === 0) return [];
  const common = { container: input.container, property: "securityContext.capabilities.drop", requested: drop.join(" ") };
  return [{ ...common, enforced: true, mechanism: grantedBy(input), note: "" }];
}

function ambientEntries(input: EnforcementInput): EnforcementEntry[] {
  const ambient = input.sets.ambient ?? [];
  if (ambient.length === 0) return [];
  const common = { container: input.container, property: "securityContext.capabilities.ambient", requested: ambient.join(" ") };
  if (input.ambient) return [{ ...common, enforced: true, mechanism: grantedBy(input), note: "" }];
  return [{ ...common, enforced: false, mechanism: "runsc before June 2026 ignores ambient capabilities", note: wayOut(input) }];
}

function userEntries(input: EnforcementInput): EnforcementEntry[] {
  const properties = ["runAsUser", "runAsGroup"] as const;
  return properties.flatMap((name) => {
    const value = input.request[name];
    if (value === undefined) return [];
    return [
      {
        container: input.container,
        property: `securityContext.${name}`,
        requested: String(value),
        enforced: true,
        mechanism: grantedBy(input),
        note: "",
      },
    ];
  });
}

/** One line for people for each entry that is not enforced. */
export function enforcementWarnings(entries: readonly EnforcementEntry[]): string[] {
  return entries
    .filter((entry) => !entry.enforced)
    .map(
      (entry) => `container ${entry.container}: ${entry.property} ${entry.requested} is not effective: ${entry.mechanism}; ${entry.note}`,
    );
}
