import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { sdNotify } from "../../src/host/notify.ts";
import { makeScratch } from "../support/scratch.ts";

afterEach(() => {
  delete process.env["NOTIFY_SOCKET"];
});

test("without a NOTIFY_SOCKET nobody is told", () => {
  expect(sdNotify("READY=1")).toBe(false);
});

test("systemd's socket gets the state", async () => {
  using scratch = makeScratch();
  const path = join(scratch.path, "notify");
  const receiver = spawn(
    "python3",
    [
      "-c",
      `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1])
print(s.recv(4096).decode())`,
      path,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  await expect.poll(() => existsSync(path)).toBe(true);
  process.env["NOTIFY_SOCKET"] = path;
  expect(sdNotify("READY=1\nSTATUS=well")).toBe(true);
  const [received] = (await once(receiver.stdout, "data")) as [Buffer];
  expect(received.toString()).toBe("READY=1\nSTATUS=well\n");
});

test("a socket that is not there is an error", () => {
  process.env["NOTIFY_SOCKET"] = "/no/such/socket";
  expect(() => sdNotify("READY=1")).toThrow(/no\/such\/socket/);
});
