/** gRPC server reflection over the descriptors that the messages carry: tools such as `buf curl --reflect` need no .proto file. */

import { type DescEnum, type DescExtension, type DescFile, type DescMessage, type DescService, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { ServerReflection, type ServerReflectionRequest } from "../gen/grpc/reflection/v1/reflection_pb.js";
import {
  ServerReflection as ServerReflectionAlpha,
  type ServerReflectionRequest as AlphaRequest,
} from "../gen/grpc/reflection/v1alpha/reflection_pb.js";
import { type Service, service } from "./handlers.ts";

type AnyRequest = ServerReflectionRequest | AlphaRequest;
type Question = AnyRequest["messageRequest"];

/** The same in both versions of the protocol. */
type Answer =
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

/** The reflection services, v1 and the v1alpha of older tools, for these services and themselves. */
export function reflectionServices(descriptions: readonly DescService[]): Service[] {
  const all = [...descriptions, ServerReflection, ServerReflectionAlpha];
  const names = all.map(({ typeName }) => typeName).toSorted();
  const files = withImports(all.map(({ file }) => file));
  const reflection = new Reflection(names, files);
  const respond = async function* <R extends AnyRequest>(requests: AsyncIterable<R>) {
    for await (const request of requests)
      yield { validHost: request.host, originalRequest: request, messageResponse: reflection.answer(request.messageRequest) };
  };
  return [service(ServerReflection, { serverReflectionInfo: respond }), service(ServerReflectionAlpha, { serverReflectionInfo: respond })];
}

class Reflection {
  readonly #names: readonly string[];
  readonly #files: ReadonlyMap<string, DescFile>;
  /** Where each symbol is declared. */
  readonly #symbols: ReadonlyMap<string, DescFile>;
  readonly #messages: ReadonlySet<string>;

  constructor(names: readonly string[], files: readonly DescFile[]) {
    this.#names = names;
    this.#files = new Map(files.map((file) => [file.proto.name, file]));
    this.#symbols = new Map(files.flatMap((file) => [...nestedTypes(file)].flatMap(symbolsOf).map((symbol) => [symbol, file] as const)));
    this.#messages = new Set(
      files.flatMap((file) => [...nestedTypes(file)]).flatMap((type) => (type.kind === "message" ? [type.typeName] : [])),
    );
  }

  answer(question: Question): Answer {
    switch (question.case) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: this.#names.map((name) => ({ name })) } };
      case "fileByFilename":
        return this.#fileAnswer(this.#files.get(question.value), `there is no file ${question.value}`);
      case "fileContainingSymbol":
        return this.#fileAnswer(this.#symbols.get(question.value), `there is no symbol ${question.value}`);
      case "allExtensionNumbersOfType":
        if (!this.#messages.has(question.value)) return refusal(status.NOT_FOUND, `there is no message ${question.value}`);
        return { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value, extensionNumber: [] } };
      case "fileContainingExtension":
        return refusal(status.NOT_FOUND, "there are no extensions");
      case undefined:
        return refusal(status.INVALID_ARGUMENT, "the request asks nothing");
    }
  }

  #fileAnswer(file: DescFile | undefined, fault: string): Answer {
    if (!file) return refusal(status.NOT_FOUND, fault);
    const fileDescriptorProto = withImports([file]).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
    return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
  }
}

type NamedType = DescMessage | DescEnum | DescExtension | DescService;

/** The full names that a type brings with it. A value of an enum is named beside its enum, not inside. */
function symbolsOf(type: NamedType): string[] {
  const inside = (members: readonly { readonly name: string }[]) => members.map(({ name }) => `${type.typeName}.${name}`);
  switch (type.kind) {
    case "service":
      return [type.typeName, ...inside(type.methods)];
    case "message":
      return [type.typeName, ...inside(type.fields), ...inside(type.oneofs)];
    case "enum":
      return [type.typeName, ...type.values.map(({ name }) => type.typeName.replace(/[^.]*$/, name))];
    case "extension":
      return [type.typeName];
  }
}

/** The files and all that they import, importers first, each once. */
function withImports(files: readonly DescFile[]): DescFile[] {
  const found = new Set<DescFile>();
  const visit = (file: DescFile) => {
    if (found.has(file)) return;
    found.add(file);
    file.dependencies.forEach(visit);
  };
  files.forEach(visit);
  return [...found];
}

function refusal(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
