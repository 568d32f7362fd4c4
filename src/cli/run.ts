import { type Command, Option } from "commander";
import { globalsOf } from "./globals.ts";
import { print, printJson, printWarnings } from "./output.ts";

export function declareRun(berth: Command): void {
  berth
    .command("run")
    .summary("create a sandbox from a file and wait until its apps were started")
    .description(
      "Creates the sandbox that FILE describes and waits until every app was started. When the sandbox is there already with an equal spec, " +
        "it is answered as it is; with another spec that is an error. A creation that fails is undone, unless it was answered before (--wait).\n\n" +
        "FILE is a berth Sandbox (apiVersion: berth/v1, kind: Sandbox) or a Kubernetes Pod (apiVersion: v1, kind: Pod), YAML or JSON; - is stdin. " +
        "Every field of a Pod that berth does not implement is refused by name.",
    )
    .requiredOption("-f, --file <FILE>", "the file, - for stdin")
    .addOption(
      new Option("--wait <UNTIL>", "answer when it is in berthd's journal, when every container is made, or when every app was started")
        .choices(["accepted", "created", "running"])
        .default("running"),
    )
    .addHelpText(
      "after",
      `
Example:
  berth run -f - <<END
  apiVersion: berth/v1
  kind: Sandbox
  metadata: {name: web}
  spec:
    runtimeClassName: runsc
    containers:
      - name: web
        image: oci:/srv/images/busybox:latest
        command: [httpd, -f, -p, "8080"]
        securityContext:
          runAsUser: 1000
          capabilities: {drop: [ALL]}
  END`,
    )
    .action(async ({ file, wait }: { file: string; wait: Wait }, command: Command) => run(file, wait, command));
}

type Wait = "accepted" | "created" | "running";

async function run(file: string, wait: Wait, command: Command): Promise<void> {
  const globals = globalsOf(command);
  const { readSandboxFile } = await import("./file.ts");
  const { request, warnings } = await readSandboxFile(file, globals);
  printWarnings(warnings);
  const [{ withSession, present, messageJson }, { sandboxMessages }, { SandboxSchema }, { WaitUntil }, { summary }] = await Promise.all([
    import("./session.ts"),
    import("../api/wire.ts"),
    import("../gen/berth/v1/sandbox_pb.js"),
    import("../gen/berth/v1/sandboxes_pb.js"),
    import("./describe.ts"),
  ]);
  const waitUntil = { accepted: WaitUntil.ACCEPTED, created: WaitUntil.CREATED, running: WaitUntil.RUNNING }[wait];
  const answer = await withSession(globals, ({ sandboxes }) => sandboxes.create({ ...sandboxMessages(request), waitUntil }));
  const sandbox = present(answer.sandbox);
  if (globals.json) {
    printJson(messageJson(SandboxSchema, sandbox));
    return;
  }
  print(summary(sandbox));
  printWarnings(sandbox.status?.warnings ?? []);
}
