import { expect, test } from "vitest";
import { stopSignalNumber } from "../../src/sandbox/signals.ts";

test.each([
  ["", 15],
  ["SIGTERM", 15],
  ["TERM", 15],
  ["term", 15],
  ["sigquit", 3],
  ["15", 15],
  ["1", 1],
  ["64", 64],
  ["SIGRTMIN", 34],
  ["SIGRTMIN+3", 37],
  ["RTMIN+30", 64],
  ["SIGRTMAX", 64],
  ["rtmax-1", 63],
  ["RTMAX-30", 34],
])("the stop signal %j is %i", (text, number) => {
  expect(stopSignalNumber(text)).toBe(number);
});

test.each([
  "0",
  "65",
  "-1",
  "1.5",
  "0x9",
  "SIGSIGTERM",
  "SIGNOPE",
  "SIG",
  " TERM",
  "RTMIN-1",
  "RTMIN+31",
  "RTMAX+1",
  "RTMAX-31",
  "RTMIN+",
  "toString",
])("the stop signal %j is refused with its text", (text) => {
  expect(() => stopSignalNumber(text)).toThrow(
    expect.objectContaining({ reason: "ImageInvalid", message: `the image's StopSignal ${JSON.stringify(text)} is not a signal` }),
  );
});
