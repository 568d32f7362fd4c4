/** Between grpc-js and the services: decodes, refuses unknown fields, counts, maps errors, and keeps the pace of slow readers. */

import { setImmediate as nextTurn } from "node:timers/promises";
import type { DescMethod, DescService, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import {
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServerDuplexStream,
  type ServerWritableStream,
  type StatusObject,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { BerthError, invalidRequest } from "../errors.ts";
import type { Logger } from "../observe/logger.ts";
import { type Decoded, Encoded } from "./adapter.ts";
import { toStatus } from "./status.ts";
import { unknownFields } from "./unknown-fields.ts";

type Method = Pick<DescMethod, "methodKind" | "input" | "output">;
type Methods = Record<string, Method>;

/**
 * What a method does. A unary handler is not told when its caller hangs up: what was begun is finished. A stream ends when `signal` fires.
 * A bidirectional stream takes its requests at its own pace, and ends when its answers do, whatever the caller still sends.
 */
type Handler<M extends Method> = M["methodKind"] extends "server_streaming"
  ? (request: MessageShape<M["input"]>, signal: AbortSignal) => AsyncIterable<MessageInitShape<M["output"]> | Encoded>
  : M["methodKind"] extends "bidi_streaming"
    ? (requests: AsyncIterable<MessageShape<M["input"]>>, signal: AbortSignal) => AsyncIterable<MessageInitShape<M["output"]>>
    : (request: MessageShape<M["input"]>) => Promise<MessageInitShape<M["output"]>> | MessageInitShape<M["output"]>;

export type Handlers<S extends { method: Methods }> = { readonly [K in keyof S["method"]]: Handler<S["method"][K]> };

export interface Service {
  readonly description: DescService;
  readonly handlers: Readonly<Record<string, (request: never, signal: AbortSignal) => unknown>>;
}

/** Ties a service to its handlers; the compiler holds them to the proto. */
export function service<S extends DescService & { method: Methods }>(description: S, handlers: Handlers<S>): Service {
  return { description, handlers };
}

/** What the calls of all services share. */
export interface CallContext {
  readonly logger: Logger;
  /** Counts an answered call: package.Service/Method, code such as OK, seconds. */
  readonly answered: (method: string, code: string, seconds: number) => void;
  /** Fires when the server goes: streams end. */
  readonly closing: AbortSignal;
}

export function implementation({ description, handlers }: Service, context: CallContext): UntypedServiceImplementation {
  return Object.fromEntries(
    description.methods.map((method) => {
      const handler = handlers[method.localName];
      if (!handler) throw new Error(`${description.typeName}.${method.name} has no handler`);
      return [method.localName, bind(method, handler as AnyHandler, context)];
    }),
  );
}

type AnyHandler = (request: Message | AsyncIterable<Message>, signal: AbortSignal) => unknown;

function bind(method: DescMethod, handler: AnyHandler, context: CallContext): UntypedServiceImplementation[string] {
  switch (method.methodKind) {
    case "unary":
      return unary(method, handler, context);
    case "server_streaming":
      return serverStreaming(method, handler, context);
    case "bidi_streaming":
      return bidiStreaming(method, handler, context);
    case "client_streaming":
      throw new Error(`${method.name}: client streaming is not used`);
  }
}

function unary(method: DescMethod, handler: AnyHandler, context: CallContext): handleUnaryCall<Decoded, Message> {
  return (call, callback) => {
    const answer = async () => {
      const request = requestOf(method, call.request);
      return create(method.output, (await handler(request, context.closing)) as Message);
    };
    const done = timer(method, context);
    answer().then(
      (message) => {
        done(status.OK);
        callback(null, message);
      },
      (error: unknown) => {
        const refusal = toStatus(error, context.logger);
        done(refusal.code);
        callback(refusal);
      },
    );
  };
}

function serverStreaming(
  method: DescMethod,
  handler: AnyHandler,
  context: CallContext,
): handleServerStreamingCall<Decoded, Message | Encoded> {
  return (call) => {
    void run(method, call, context, async (signal) => {
      await sendAll(method, call, handler(requestOf(method, call.request), signal), signal);
    });
  };
}

function bidiStreaming(method: DescMethod, handler: AnyHandler, context: CallContext): handleBidiStreamingCall<Decoded, Message | Encoded> {
  return (call) => {
    void run(method, call, context, async (signal) => {
      await sendAll(method, call, handler(requestsOf(method, call), signal), signal);
    });
  };
}

async function* requestsOf(method: DescMethod, call: ServerDuplexStream<Decoded, Message | Encoded>): AsyncGenerator<Message> {
  // Its end must not destroy the side that answers.
  for await (const decoded of call.iterator({ destroyOnReturn: false })) yield requestOf(method, decoded as Decoded);
  // A call that is hung up ends like one whose requests are complete; word of it comes in the same turn of the event loop, but later.
  await nextTurn();
  if (call.cancelled) throw new BerthError("Cancelled", "the caller hung up");
}

async function sendAll(method: DescMethod, call: AnswerStream, answers: unknown, signal: AbortSignal): Promise<void> {
  for await (const answer of answers as AsyncIterable<Message | Encoded>) {
    await send(call, answer instanceof Encoded ? answer : create(method.output, answer), signal);
    if (signal.aborted) return;
  }
}

type AnswerStream = ServerWritableStream<Decoded, Message | Encoded> | ServerDuplexStream<Decoded, Message | Encoded>;

/** Runs a stream to its status. Whoever hung up gets none. */
async function run(
  method: DescMethod,
  call: AnswerStream,
  context: CallContext,
  body: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const done = timer(method, context);
  const hangUp = new AbortController();
  call.on("cancelled", () => hangUp.abort());
  try {
    await body(AbortSignal.any([hangUp.signal, context.closing]));
    if (context.closing.aborted) throw new BerthError("Unavailable", "berthd is shutting down");
    done(hangUp.signal.aborted ? status.CANCELLED : status.OK);
    call.end();
  } catch (error) {
    if (hangUp.signal.aborted) {
      done(status.CANCELLED);
      return;
    }
    const refusal = toStatus(error, context.logger);
    done(refusal.code);
    call.emit("error", refusal satisfies StatusObject);
  }
}

/** Writes one message and waits until the reader has taken enough of what came before. */
async function send(call: AnswerStream, message: Message | Encoded, signal: AbortSignal): Promise<void> {
  if (signal.aborted || call.write(message)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const settle = () => resolve();
  call.once("drain", settle);
  call.once("close", settle);
  signal.addEventListener("abort", settle, { once: true });
  await promise;
  call.off("drain", settle);
  call.off("close", settle);
  signal.removeEventListener("abort", settle);
}

function requestOf(method: DescMethod, decoded: Decoded): Message {
  if ("fault" in decoded) {
    throw invalidRequest([{ field: "", rule: decoded.fault, value: "bytes", allowed: `an encoded ${method.input.typeName}` }]);
  }
  const violations = unknownFields(method.input, decoded.message);
  if (violations.length > 0) throw invalidRequest(violations);
  return decoded.message;
}

function timer(method: DescMethod, context: CallContext): (code: number) => void {
  const start = performance.now();
  return (code) =>
    context.answered(`${method.parent.typeName}/${method.name}`, status[code] ?? "UNKNOWN", (performance.now() - start) / 1000);
}
