/** One conversation with berthd. Loads the gRPC stack. */

import type { DescMessage, JsonValue, MessageShape } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import { type Client, Connection, refusalOf } from "../api/client.ts";
import { BerthError } from "../errors.ts";
import { Events } from "../gen/berth/v1/events_pb.js";
import { Node } from "../gen/berth/v1/node_pb.js";
import type { Sandbox } from "../gen/berth/v1/sandbox_pb.js";
import { Sandboxes } from "../gen/berth/v1/sandboxes_pb.js";
import { RefusedError } from "./failure.ts";
import type { Globals } from "./globals.ts";

export interface Session {
  readonly sandboxes: Client<typeof Sandboxes>;
  readonly events: Client<typeof Events>;
  readonly node: Client<typeof Node>;
}

/** Calls berthd; what it refuses becomes a RefusedError. */
export async function withSession<T>({ address }: Globals, talk: (session: Session) => Promise<T>): Promise<T> {
  using connection = new Connection(address);
  try {
    return await talk({ sandboxes: connection.client(Sandboxes), events: connection.client(Events), node: connection.client(Node) });
  } catch (error) {
    const refusal = refusalOf(error);
    if (!refusal) throw error;
    const unreached = refusal.code === "UNAVAILABLE" && refusal.reason === "";
    const message = unreached
      ? `cannot reach berthd at ${address} (is it running? --address names another socket): ${refusal.message.replace(/\s*Resolution note:\s*$/, "")}`
      : refusal.message;
    throw new RefusedError({ ...refusal, message });
  }
}

export const isFullId = (text: string): boolean => /^[0-9a-f]{32}$/.test(text);

/** SANDBOX to id: a full id as it is, a name by asking once. */
export async function resolveId(session: Session, { namespace }: Globals, sandbox: string): Promise<string> {
  if (isFullId(sandbox)) return sandbox;
  return (await getSandbox(session, { namespace }, sandbox)).metadata?.id ?? "";
}

export async function getSandbox({ sandboxes }: Session, where: Pick<Globals, "namespace">, sandbox: string): Promise<Sandbox> {
  return present((await sandboxes.get({ target: sandboxTarget(where, sandbox) })).sandbox);
}

/** SANDBOX as the API takes it: by id, or by name in a namespace. */
export function sandboxTarget({ namespace }: Pick<Globals, "namespace">, sandbox: string) {
  return isFullId(sandbox) ? { case: "id" as const, value: sandbox } : { case: "name" as const, value: { namespace, name: sandbox } };
}

/** A message that berthd always sends. */
export function present<T>(message: T | undefined): T {
  if (message === undefined) throw new BerthError("Internal", "berthd's answer is empty; are berth and berthd of one version?");
  return message;
}

/** Empty lists and false are printed, so that programs need not ask whether they are there; what is unset is not. */
export function messageJson<D extends DescMessage>(schema: D, message: MessageShape<D>): JsonValue {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}

/** The grace of a call, in seconds; without one the sandbox's counts. */
export function gracePeriod(seconds: number | undefined): { gracePeriod?: { seconds: bigint; nanos: number } } {
  if (seconds === undefined) return {};
  const whole = Math.floor(seconds);
  return { gracePeriod: { seconds: BigInt(whole), nanos: Math.round((seconds - whole) * 1e9) } };
}
