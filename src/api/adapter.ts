/** Makes protobuf-es services known to grpc-js. */

import { type DescMessage, type DescMethod, type DescService, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition, ServiceDefinition } from "@grpc/grpc-js";

/** What a request's bytes were decoded to. A fault travels to the handler, because grpc-js would answer INTERNAL for what is the caller's. */
export type Decoded = { readonly message: Message } | { readonly fault: string };

/** An answer that is encoded already: what goes to many callers is encoded once. */
export class Encoded {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/** What the server side of a service looks like to grpc-js. */
export function serviceDefinition(service: DescService): ServiceDefinition {
  return Object.fromEntries(service.methods.map((method) => [method.localName, methodDefinition(method)]));
}

export function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

export function encode(schema: DescMessage, message: Message): Buffer {
  const bytes = toBinary(schema, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function methodDefinition(method: DescMethod): MethodDefinition<Decoded, Message | Encoded> {
  return {
    path: methodPath(method),
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (decoded) => ("message" in decoded ? encode(method.input, decoded.message) : Buffer.alloc(0)),
    requestDeserialize: (bytes) => decode(method.input, bytes),
    responseSerialize: (answer) => (answer instanceof Encoded ? answer.bytes : encode(method.output, answer)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

function decode(schema: DescMessage, bytes: Uint8Array): Decoded {
  try {
    return { message: fromBinary(schema, bytes) };
  } catch (error) {
    return { fault: `${schema.typeName} cannot be decoded: ${error instanceof Error ? error.message : String(error)}` };
  }
}
