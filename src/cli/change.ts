/** What commands have in common that change one sandbox and tell what it is then. */

import type { Client } from "../api/client.ts";
import type { Sandbox } from "../gen/berth/v1/sandbox_pb.js";
import type { Sandboxes } from "../gen/berth/v1/sandboxes_pb.js";
import type { Globals } from "./globals.ts";
import { print, printJson } from "./output.ts";

type Change = (sandboxes: Client<typeof Sandboxes>, id: string) => Promise<{ sandbox?: Sandbox | undefined }>;

/** `name` is a name in the namespace, or a full id. */
export async function changeSandbox(name: string, globals: Globals, change: Change): Promise<void> {
  const [{ withSession, resolveId, present, messageJson }, { SandboxSchema }, { summary }] = await Promise.all([
    import("./session.ts"),
    import("../gen/berth/v1/sandbox_pb.js"),
    import("./describe.ts"),
  ]);
  const answer = await withSession(globals, async (session) => change(session.sandboxes, await resolveId(session, globals, name)));
  const sandbox = present(answer.sandbox);
  if (globals.json) printJson(messageJson(SandboxSchema, sandbox));
  else print(summary(sandbox));
}
