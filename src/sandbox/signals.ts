import { constants } from "node:os";
import { BerthError } from "../errors.ts";

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** The number of an image's StopSignal; empty is SIGTERM. Throws ImageInvalid for what is no signal. */
export function stopSignalNumber(text: string): number {
  const number = text === "" ? constants.signals.SIGTERM : signalNumber(text);
  if (number !== undefined) return number;
  throw new BerthError("ImageInvalid", `the image's StopSignal ${JSON.stringify(text)} is not a signal`);
}

/** The number of SIGTERM, TERM, 15, SIGRTMIN+3; undefined for any other text. */
export function signalNumber(text: string): number | undefined {
  const name = text.toUpperCase().replace(/^SIG/, "");
  const number = /^\d+$/.test(name) ? Number(name) : (namedSignal(name) ?? realtimeSignal(name));
  return number !== undefined && number >= 1 && number <= SIGRTMAX ? number : undefined;
}

function namedSignal(name: string): number | undefined {
  return Object.entries(constants.signals).find(([known]) => known === `SIG${name}`)?.[1];
}

function realtimeSignal(name: string): number | undefined {
  const [, base, sign, offset = "0"] = /^(RTMIN|RTMAX)(?:([+-])(\d{1,2}))?$/.exec(name) ?? [];
  if (base === undefined) return undefined;
  const start = base === "RTMIN" ? SIGRTMIN : SIGRTMAX;
  const number = sign === "-" ? start - Number(offset) : start + Number(offset);
  return number >= SIGRTMIN ? number : undefined;
}
