import { Sandboxes as SandboxesDescription } from "../gen/berth/v1/sandboxes_pb.js";
import type { LogRecord } from "../monitor/logs.ts";
import type { Sandboxes } from "../sandbox/sandboxes.ts";
import { bundleMessage, logMessage, renderMessage, sandboxMessage } from "./answers.ts";
import { exec } from "./exec.ts";
import { type Service, service } from "./handlers.ts";
import {
  idViolations,
  readEnding,
  readListFilter,
  readSandboxRequest,
  readRenewal,
  readTarget,
  readWaitUntil,
  refuse,
  requestIdViolations,
  waitUntilViolations,
} from "./wire.ts";

/** What the service needs of the heart. */
export type SandboxesPort = Pick<
  Sandboxes,
  "create" | "get" | "list" | "start" | "stop" | "pause" | "resume" | "delete" | "renewLease" | "logs" | "exec" | "render" | "bundles"
>;

/** Bytes of log data in one message. */
const MAX_CHUNK = 64 * 1024;

export function sandboxesService(sandboxes: SandboxesPort): Service {
  return service(SandboxesDescription, {
    create: async (request) => {
      const { requestId, waitUntil } = request;
      const parsed = readSandboxRequest(request, [...requestIdViolations(requestId), ...waitUntilViolations(waitUntil)]);
      return { sandbox: sandboxMessage(await sandboxes.create(parsed, requestId, readWaitUntil(waitUntil))) };
    },
    get: (request) => ({ sandbox: sandboxMessage(sandboxes.get(readTarget(request))) }),
    list: (request) => {
      const { records, nextPageToken } = sandboxes.list(readListFilter(request));
      return { sandboxes: records.map(sandboxMessage), nextPageToken };
    },
    start: async ({ id, requestId }) => {
      refuse([...idViolations(id), ...requestIdViolations(requestId)]);
      return { sandbox: sandboxMessage(await sandboxes.start(id, requestId)) };
    },
    pause: async ({ id }) => {
      refuse(idViolations(id));
      return { sandbox: sandboxMessage(await sandboxes.pause(id)) };
    },
    resume: async ({ id }) => {
      refuse(idViolations(id));
      return { sandbox: sandboxMessage(await sandboxes.resume(id)) };
    },
    stop: async (request) => {
      const { id, graceMs } = readEnding(request);
      return { sandbox: sandboxMessage(await sandboxes.stop(id, graceMs)) };
    },
    delete: async (request) => {
      const { id, graceMs } = readEnding(request);
      return { existed: await sandboxes.delete(id, graceMs) };
    },
    renewLease: (request) => {
      const { id, expiresAt, resourceVersion } = readRenewal(request);
      return { sandbox: sandboxMessage(sandboxes.renewLease(id, expiresAt, resourceVersion)) };
    },
    logs: async function* ({ id, container }) {
      refuse(idViolations(id));
      for await (const records of sandboxes.logs(id, container)) {
        for (const chunk of chunks(records)) yield { entries: chunk.map(logMessage) };
      }
    },
    exec: (requests, signal) => exec(sandboxes, requests, signal),
    render: async (request) => renderMessage(await sandboxes.render(readSandboxRequest(request))),
    getBundles: async (request) => {
      const { bundles, warnings } = await sandboxes.bundles(readTarget(request));
      return { bundles: bundles.map(bundleMessage), warnings: [...warnings] };
    },
  });
}

/** Groups records to at most 64 KiB of data; a longer one is cut into parts that go on in the next. */
export function* chunks(records: readonly LogRecord[]): Generator<LogRecord[]> {
  let chunk: LogRecord[] = [];
  let size = 0;
  for (const record of records.flatMap(parts)) {
    if (chunk.length > 0 && size + cost(record) > MAX_CHUNK) {
      yield chunk;
      chunk = [];
      size = 0;
    }
    chunk.push(record);
    size += cost(record);
  }
  if (chunk.length > 0) yield chunk;
}

/** Time, stream and framing take up to 32 bytes on the wire. */
const OVERHEAD = 32;

function cost(record: LogRecord): number {
  return record.data.length + OVERHEAD;
}

function parts(record: LogRecord): LogRecord[] {
  const most = MAX_CHUNK - OVERHEAD;
  if (record.data.length <= most) return [record];
  const count = Math.ceil(record.data.length / most);
  return Array.from({ length: count }, (_, index) => ({
    ...record,
    data: record.data.subarray(index * most, (index + 1) * most),
    partial: index < count - 1 || record.partial,
  }));
}
