/** Whether what a watcher was told makes one story. */

import { type Event } from "../../../src/gen/berth/v1/events_pb.js";
import { ContainerState, SandboxState } from "../../../src/gen/berth/v1/sandbox_pb.js";

/** What is wrong with all events that one watcher got, of sandboxes that are gone; empty for nothing. */
export function faultsOfHistory(events: readonly Event[]): string[] {
  const numbers = events.map(({ cursor }) => Number(cursor.split("-")[1]));
  const gaps = numbers.filter((number, index) => index > 0 && number !== (numbers[index - 1] ?? 0) + 1);
  const bySandbox = Map.groupBy(events, ({ sandboxId }) => sandboxId);
  return [
    ...gaps.map((number) => `event ${number} does not follow the one before it`),
    ...[...bySandbox].filter(([id]) => id !== "").flatMap(([id, own]) => faultsOfOne(own).map((fault) => `${id}: ${fault}`)),
  ];
}

function faultsOfOne(events: readonly Event[]): string[] {
  const faults: string[] = [];
  const only = (kind: string, event: Event | undefined): void => {
    if (events.filter((one) => one.kind === kind).length !== 1 || event?.kind !== kind)
      faults.push(`${kind} is not there once, in its place`);
  };
  only("sandbox.created", events[0]);
  only("sandbox.deleted", events.at(-1));
  const states = events
    .filter(({ kind }) => kind === "sandbox.state")
    .map((event) => `${SandboxState[event.sandboxState]} ${event.reason}`);
  for (const [index, state] of states.entries()) if (index > 0 && state === states[index - 1]) faults.push(`${state} is told twice`);

  const ofContainers = events.filter(({ kind, container }) => kind.startsWith("container.") && container !== "");
  for (const [name, own] of Map.groupBy(ofContainers, ({ container }) => container)) {
    for (const [index, { kind }] of own.entries()) if (kind === own[index - 1]?.kind) faults.push(`${kind} of ${name} is told twice`);
    const last = own.findLast(({ kind }) => kind === "container.exited");
    const end = events.at(-1)?.end?.containers.find((container) => container.name === name);
    // What the record says at the end was told before.
    if (end?.state === ContainerState.EXITED && end.exitCode !== last?.exitCode)
      faults.push(`${name} ended with ${end.exitCode}, and ${last?.exitCode} was told`);
  }
  return faults;
}
