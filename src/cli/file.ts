/** Files that describe sandboxes. Loads the YAML parser. */

import { createReadStream } from "node:fs";
import { BerthError, invalidRequest } from "../errors.ts";
import { readSandboxDocument, type SandboxDocument } from "../sandbox/document.ts";
import type { Globals } from "./globals.ts";

/** More than any document that can be read; an endless file must not be. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Reads FILE, "-" for stdin, in the namespace of -n. */
export async function readSandboxFile(file: string, { namespace, namespaceGiven }: Globals): Promise<SandboxDocument> {
  const document = readSandboxDocument(await readText(file), file === "-" ? "stdin" : file, { namespace });
  const named = document.request.metadata.namespace;
  if (namespaceGiven && named !== namespace) {
    const rule = "is not the namespace of -n";
    throw invalidRequest([{ field: "metadata.namespace", rule, value: named, allowed: `${namespace}, or no -n` }]);
  }
  return document;
}

export async function readText(file: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of file === "-" ? process.stdin : createReadStream(file)) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`);
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    throw new BerthError("InvalidRequest", `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
