/** Typed clients of berthd: one for the CLI and one for whoever reads how to call it from TypeScript. */

import { once } from "node:events";
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  Client as GrpcClient,
  credentials,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import type { Violation } from "../errors.ts";
import { ErrorDetailSchema } from "../gen/berth/v1/error_pb.js";
import { StatusSchema } from "../gen/google/rpc/status_pb.js";
import { encode, methodPath } from "./adapter.ts";
import { socketPath } from "./unix-socket.ts";

type Method = Pick<DescMethod, "methodKind" | "input" | "output">;
type Call<M extends Method> = M["methodKind"] extends "unary"
  ? (request: MessageInitShape<M["input"]>) => Promise<MessageShape<M["output"]>>
  : M["methodKind"] extends "bidi_streaming"
    ? (requests: AsyncIterable<MessageInitShape<M["input"]>>) => AsyncIterable<MessageShape<M["output"]>>
    : (request: MessageInitShape<M["input"]>) => AsyncIterable<MessageShape<M["output"]>>;

/** The methods of a service. Who leaves a stream of answers early hangs up. */
export type Client<S extends { method: Record<string, Method> }> = { readonly [K in keyof S["method"]]: Call<S["method"][K]> };

/** Rendered bundles of a sandbox with many containers are larger than grpc's 4 MiB. */
const MAX_ANSWER = 256 * 1024 * 1024;

/** A connection to a berthd, shared by the clients of its services. */
export class Connection {
  readonly #channel: GrpcClient;

  /** `address` is unix:///PATH. */
  constructor(address: string) {
    this.#channel = new GrpcClient(socketTarget(address), credentials.createInsecure(), {
      "grpc.max_receive_message_length": MAX_ANSWER,
      "grpc.enable_http_proxy": 0,
    });
  }

  client<S extends DescService & { method: Record<string, Method> }>(service: S): Client<S> {
    return Object.fromEntries(service.methods.map((method) => [method.localName, this.#call(method)])) as Client<S>;
  }

  close(): void {
    this.#channel.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #call(method: DescMethod): unknown {
    const path = methodPath(method);
    const channel = this.#channel;
    const serialize = (request: MessageInitShape<DescMessage>) => encode(method.input, create(method.input, request));
    const deserialize = (bytes: Uint8Array) => fromBinary(method.output, bytes);
    if (method.methodKind === "unary") {
      return async (request: MessageInitShape<DescMessage>) => {
        const { promise, resolve, reject } = Promise.withResolvers<unknown>();
        channel.makeUnaryRequest(path, serialize, deserialize, request, (error, answer) => (error ? reject(error) : resolve(answer)));
        return promise;
      };
    }
    if (method.methodKind === "bidi_streaming") {
      return async function* (this: void, requests: AsyncIterable<MessageInitShape<DescMessage>>) {
        const call = channel.makeBidiStreamRequest(path, serialize, deserialize);
        const outgoing = requests[Symbol.asyncIterator]();
        // Requests that cannot be made hang up.
        sendAll(call, { [Symbol.asyncIterator]: () => outgoing }).catch((error: unknown) => call.destroy(error as Error));
        try {
          yield* answersOf(call);
        } finally {
          void outgoing.return?.();
        }
      };
    }
    return (request: MessageInitShape<DescMessage>) => answersOf(channel.makeServerStreamRequest(path, serialize, deserialize, request));
  }
}

/** As fast as they are taken. */
async function sendAll<R>(call: ClientDuplexStream<R, unknown>, requests: AsyncIterable<R>): Promise<void> {
  for await (const request of requests) if (!call.write(request)) await once(call, "drain");
  call.end();
}

async function* answersOf(call: ClientReadableStream<unknown> | ClientDuplexStream<unknown, unknown>): AsyncGenerator {
  try {
    yield* call;
  } finally {
    // Who leaves early hangs up; the cancellation that this answers is no error.
    call.on("error", () => undefined);
    call.cancel();
  }
}

/** Why berthd said no, or why it could not be asked. */
export interface Refusal {
  /** Name of the gRPC status code, such as INVALID_ARGUMENT. */
  readonly code: string;
  readonly message: string;
  /** The stable word of docs/errors.md; empty when no berthd answered. */
  readonly reason: string;
  readonly stage: string;
  readonly container: string;
  readonly retryable: boolean;
  readonly logTail: string;
  readonly violations: readonly Violation[];
  /** With CursorGone. */
  readonly oldestCursor: string;
}

/** Reads the refusal out of what a call threw; undefined for what is no gRPC error. */
export function refusalOf(thrown: unknown): Refusal | undefined {
  if (!isServiceError(thrown)) return undefined;
  const detail = detailOf(thrown);
  return {
    code: status[thrown.code] ?? "UNKNOWN",
    message: thrown.details,
    reason: detail?.reason ?? "",
    stage: detail?.stage ?? "",
    container: detail?.container ?? "",
    retryable: detail?.retryable ?? thrown.code === status.UNAVAILABLE,
    logTail: detail?.logTail ?? "",
    oldestCursor: detail?.oldestCursor ?? "",
    violations: detail?.violations.map(({ field, rule, value, allowed }) => ({ field, rule, value, allowed })) ?? [],
  };
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && "code" in thrown && "details" in thrown && "metadata" in thrown;
}

function detailOf(error: ServiceError): MessageShape<typeof ErrorDetailSchema> | undefined {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (!(bytes instanceof Uint8Array)) return undefined;
  for (const detail of fromBinary(StatusSchema, bytes).details) {
    const unpacked = anyUnpack(detail, ErrorDetailSchema);
    if (unpacked) return unpacked;
  }
  return undefined;
}

/** Checks unix:///PATH and answers what grpc-js calls it. */
function socketTarget(address: string): string {
  const path = socketPath(address);
  if (path === undefined) throw new Error(`${address} is not an address of a berthd: unix:///PATH with an absolute path`);
  return `unix:${path}`;
}
