/** A sandbox for people. */

import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { Event } from "../gen/berth/v1/events_pb.js";
import { ContainerState, type ContainerStatus, type Enforcement, type Sandbox, SandboxState } from "../gen/berth/v1/sandbox_pb.js";
import { printable, table } from "./output.ts";

export function sandboxName({ metadata }: Sandbox): string {
  return `${metadata?.namespace ?? ""}/${metadata?.name ?? ""}`;
}

/** The state without the prefix that its enum has on the wire. */
export function stateOf({ status }: Sandbox): string {
  return SandboxState[status?.state ?? 0] ?? "UNKNOWN";
}

/** Name, id, state and containers: what run and stop tell. */
export function summary(sandbox: Sandbox): string {
  const head = [
    ["sandbox", sandboxName(sandbox)],
    ["id", sandbox.metadata?.id ?? ""],
    ["state", stateWithReason(sandbox)],
  ];
  return `${table(head)}\n\n${containerTable(sandbox.status?.containers ?? [])}`;
}

export function stateWithReason(sandbox: Sandbox): string {
  const { reason = "", message = "" } = sandbox.status ?? {};
  const why = [reason, message].filter((text) => text !== "").join(": ");
  return why === "" ? stateOf(sandbox) : `${stateOf(sandbox)} (${why})`;
}

function containerTable(containers: readonly ContainerStatus[]): string {
  return table([
    ["CONTAINER", "STATE", "EXIT", "RESTARTS", "REASON", "IMAGE"],
    ...containers.map((container) => [
      container.name,
      ContainerState[container.state] ?? "",
      exitCode(container),
      String(container.restartCount),
      container.reason || "-",
      container.image || "-",
    ]),
  ]);
}

function exitCode({ state, exitCode: code }: ContainerStatus): string {
  if (code !== undefined) return String(code);
  return state === ContainerState.EXITED || state === ContainerState.UNKNOWN ? "unknown" : "-";
}

/** Everything that inspect tells. */
export function description(sandbox: Sandbox): string {
  const { metadata, spec, status } = sandbox;
  const { runtime } = status ?? {};
  const labels = Object.entries(metadata?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const head = [
    ["name", metadata?.name ?? ""],
    ["namespace", metadata?.namespace ?? ""],
    ["id", metadata?.id ?? ""],
    ["labels", labels.join(", ") || "-"],
    ["state", stateWithReason(sandbox)],
    ["operation", status?.operation ? `${status.operation.verb} (${status.operation.step})` : "-"],
    ["runtime class", runtime?.className || spec?.runtimeClassName || "-"],
    ["runtime", runtime ? [runtime.adapter, runtime.version, runtime.platform].filter((text) => text !== "").join(" ") : "-"],
    ["binary", runtime?.binaryDigest || "-"],
    ["created", time(metadata?.createdAt)],
    ["started", time(status?.startedAt)],
    ["finished", time(status?.finishedAt)],
  ];
  const containers = [...(status?.pause ? [status.pause] : []), ...(status?.containers ?? [])];
  return [
    table(head),
    containerTable(containers),
    section("warnings", (status?.warnings ?? []).map((warning) => `  ${printable(warning)}`).join("\n")),
    section("enforcement", enforcementTable(status?.enforcement ?? [])),
    section("stages", table((status?.stages ?? []).map(({ name, duration }) => ["", name, milliseconds(duration)]))),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

function section(title: string, body: string): string {
  return body === "" ? "" : `${title}:\n${body}`;
}

/** Takes messages and the entries that rendering gives: both have the same fields. */
export function enforcementTable(entries: readonly Omit<Enforcement, "$typeName">[]): string {
  if (entries.length === 0) return "";
  return table([
    ["  CONTAINER", "PROPERTY", "REQUESTED", "ENFORCED", "HOW", "NOTE"],
    ...entries.map(({ container, property, requested, enforced, mechanism, note }) => [
      `  ${container || "-"}`,
      property,
      requested || "-",
      enforced ? "yes" : "no",
      mechanism || "-",
      note || "-",
    ]),
  ]);
}

/** One line: when, what, of whom, and what there is to say. */
export function eventLine(event: Event): string {
  const { kind, namespace, name, sandboxId, container, operation, reason, message, exitCode } = event;
  const whom = sandboxId === "" ? "node" : `${namespace}/${name}${container === "" ? "" : `/${container}`}`;
  const state = event.sandboxState ? SandboxState[event.sandboxState] : event.containerState ? ContainerState[event.containerState] : "";
  const said = [
    state,
    exitCode === undefined ? "" : `exit code ${exitCode}`,
    [reason, message].filter((text) => text !== "").join(": "),
    operation === "" ? "" : `(${operation})`,
  ];
  return [time(event.time), kind.padEnd(17), whom, ...said.filter((text) => text !== "" && text !== undefined)]
    .join("  ")
    .replace(/[\n\t]/g, " ");
}

function milliseconds(duration: { seconds: bigint; nanos: number } | undefined): string {
  return duration ? `${(Number(duration.seconds) * 1000 + duration.nanos / 1e6).toFixed(1)} ms` : "-";
}

function time(timestamp: Timestamp | undefined): string {
  return timestamp ? new Date(unixMilliseconds(timestamp)).toISOString() : "-";
}

/** How long ago, in the largest unit that fits: 12s, 5m, 3h, 2d. */
export function age(timestamp: Timestamp | undefined, now: number): string {
  if (!timestamp) return "-";
  const seconds = Math.max(0, Math.floor((now - unixMilliseconds(timestamp)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`;
}

function unixMilliseconds({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1000 + Math.floor(nanos / 1e6);
}
