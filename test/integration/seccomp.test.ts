/** Seccomp profiles: what still works under them, files of the node, and processes that come later. matrix.test.ts has what they refuse. */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { refusalOf } from "../../src/api/client.ts";
import { SandboxState, SeccompProfileType } from "../../src/gen/berth/v1/sandbox_pb.js";
import { WIDE_POLICY, CLASSES, TestNode } from "./node.ts";
import { endNode, type SpecInit, TestSandbox } from "./support/sandbox.ts";

let node: TestNode;
let profiles: string;

const DENY_MKDIR = {
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names: ["mkdir", "mkdirat", "no_such_call"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
};

beforeAll(async () => {
  profiles = mkdtempSync("/tmp/bp-");
  mkdirSync(join(profiles, "team"));
  const profile = (name: string, content: unknown): void => writeFileSync(join(profiles, name), JSON.stringify(content));
  profile("team/mkdir.json", DENY_MKDIR);
  profile("exists.json", { ...DENY_MKDIR, syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 17 }] });
  profile("log.json", { defaultAction: "SCMP_ACT_LOG" });
  writeFileSync(join(profiles, "broken.json"), "{");
  symlinkSync("/etc/passwd", join(profiles, "outside.json"));
  node = await TestNode.start({
    config: { seccompProfileDir: profiles },
    policy: WIDE_POLICY,
  });
});

afterAll(async () => {
  await endNode(node);
  rmSync(profiles, { recursive: true, force: true });
});

type Container = NonNullable<SpecInit["containers"]>[number];
type SecurityContext = NonNullable<Container["securityContext"]>;

const app = (name: string, script: string, securityContext: SecurityContext = {}): Container => ({
  name,
  image: node.image,
  command: ["/bin/sh", "-c", script],
  securityContext,
});
const local = (localhostProfile: string) => ({ type: SeccompProfileType.LOCALHOST, localhostProfile });

/** What the apps of a sandbox say until they have all ended. */
async function outputs(
  name: string,
  spec: SpecInit,
): Promise<{ said: Record<string, string>; entries: Record<string, readonly [boolean, string]> }> {
  await using sandbox = await TestSandbox.create(node, name, spec);
  const { status } = await node.until(sandbox.id, (now) => now.status?.state === SandboxState.COMPLETED);
  const said: Record<string, string> = {};
  for (const container of spec.containers ?? []) said[container.name ?? ""] = await node.output(sandbox.id, container.name ?? "");
  const about = (status?.enforcement ?? []).filter(({ property }) => property === "securityContext.seccompProfile");
  return { said, entries: Object.fromEntries(about.map(({ container, enforced, note }) => [container, [enforced, note] as const])) };
}

/** Ordinary work, with files, pipes, signals, time and a socket. */
const WORK = `mkdir -p /tmp/a/b && echo x >/tmp/a/b/c && cp /tmp/a/b/c /tmp/d && ln -s d /tmp/e && cat /tmp/e | sort | wc -l && rm -r /tmp/a
  sleep 0.01; sleep 10 & kill $!; wait $!; echo $?; date +%Y >/dev/null && chown 1:1 /tmp/d; ls -l /bin >/dev/null && echo done`;

describe.each(CLASSES)("under $name", ({ name: runtimeClassName, adapter, release }) => {
  test("RuntimeDefault leaves ordinary work alone, and the report tells what the runtime cannot do", async () => {
    const { said, entries } = await outputs(`default-${runtimeClassName}`, {
      runtimeClassName,
      securityContext: { seccompProfile: { type: SeccompProfileType.RUNTIME_DEFAULT } },
      containers: [app("work", WORK, { capabilities: { add: ["CHOWN"] } })],
    });
    expect(said).toEqual({ work: "1\n143\ndone\n" });
    const [enforced, note = ""] = entries["work"] ?? [];
    expect(enforced).toBe(true);
    expect(note.includes("clone3")).toBe(adapter === "runsc");
    expect(note.includes("exec brings")).toBe(release === 2024);
  });

  test("a profile of the node holds in its container, children included, and not in the one beside it", async () => {
    const script = "mkdir /tmp/a 2>&1; /bin/sh -c 'mkdir /tmp/b; true' 2>&1; ls -d /tmp/a /tmp/b 2>/dev/null; true";
    const { said, entries } = await outputs(`local-${runtimeClassName}`, {
      runtimeClassName,
      containers: [
        app("held", script, { seccompProfile: local("team/mkdir.json") }),
        app("free", script),
        app("errno", "mkdir /tmp/a 2>&1; true", { seccompProfile: local("exists.json") }),
      ],
    });
    const refused = (path: string): string => `mkdir: can't create directory '${path}': Operation not permitted\n`;
    expect(said["held"]).toBe(`${refused("/tmp/a")}${refused("/tmp/b")}`);
    expect(said["free"]).toBe("/tmp/a\n/tmp/b\n");
    // runsc knows one answer only, and the report says so.
    expect(said["errno"]).toBe(
      adapter === "runsc" ? refused("/tmp/a") : refused("/tmp/a").replace("Operation not permitted", "File exists"),
    );
    expect(entries["errno"]?.[1].includes("errnoRet is ignored")).toBe(adapter === "runsc");
    expect(Object.keys(entries).toSorted()).toEqual(["errno", "held"]);
  });

  test("what an operator's exec brings in is filtered as the report says", async () => {
    await using sandbox = await TestSandbox.create(node, `exec-${runtimeClassName}`, {
      runtimeClassName,
      containers: [app("held", "sleep 1000", { seccompProfile: local("team/mkdir.json") })],
    });
    const root = join(node.run, "s", sandbox.id, "r");
    const exec = [
      "--root",
      root,
      "exec",
      sandbox.containerId("held"),
      "/bin/sh",
      "-c",
      "mkdir /tmp/a 2>/dev/null && echo made || echo refused",
    ];
    expect(execFileSync(sandbox.keptBinary(), exec, { encoding: "utf8" })).toBe(release === 2024 ? "made\n" : "refused\n");
    const [entry] = sandbox.status.enforcement;
    expect(entry?.note.includes("does not filter processes that exec brings")).toBe(release === 2024);
  });

  test("a profile that is missing, outside, damaged or not for this runtime is refused before anything is made", async () => {
    const names = ["missing.json", "outside.json", "broken.json", ...(adapter === "runsc" ? ["log.json"] : [])];
    for (const [index, name] of names.entries()) {
      const spec = { runtimeClassName, containers: [app("plain", "true"), app("held", "true", { seccompProfile: local(name) })] };
      const request = { metadata: { name: `bad-${index}` }, spec };
      const create = await node.sandboxes.create(request).catch((error: unknown) => error);
      const render = await node.sandboxes.render(request).catch((error: unknown) => error);
      for (const thrown of [create, render]) {
        const refusal = refusalOf(thrown);
        expect(refusal).toMatchObject({ code: "FAILED_PRECONDITION", reason: "NotEnforceable" });
        expect(refusal?.violations).toMatchObject([
          { field: "spec.containers[1].securityContext.seccompProfile.localhostProfile", value: JSON.stringify(name) },
        ]);
        expect(refusal?.violations[0]?.allowed).not.toBe("");
      }
    }
    expect(node.leftovers()).toEqual([]);
  });
});
