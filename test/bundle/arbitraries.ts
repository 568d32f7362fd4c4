/** Random specs and image configs for property tests. */

import * as fc from "fast-check";
import { finalCapabilities, KERNEL_CAPABILITIES } from "../../src/bundle/capabilities.ts";
import type { RenderInput } from "../../src/bundle/render.ts";
import { RLIMIT_TYPES, rlimitNumber } from "../../src/bundle/rlimits.ts";
import { SAFE_SYSCTLS } from "../../src/bundle/sysctls.ts";
import { ADAPTERS, type App, type Node, renderInput } from "./rendering.ts";

export const MAX_ID = 2_147_483_647;

const spelling = fc.constantFrom(...KERNEL_CAPABILITIES).chain((name) => {
  const bare = name.slice("CAP_".length);
  return fc.constantFrom(name, bare, bare.toLowerCase(), ` ${name} `);
});
const names = fc.array(fc.oneof({ weight: 5, arbitrary: spelling }, fc.constantFrom("ALL", "", "KILL", "kill")), { maxLength: 6 });
const capabilities = fc
  .record({ add: names, drop: names, mode: fc.constantFrom("never", "auto", "list"), picked: fc.nat() })
  .map(({ add, drop, mode, picked }) => ({ add, drop, ambient: mode === "list" ? { picked } : mode }));
const id = fc.oneof(fc.constantFrom(0, 1, 1000, MAX_ID), fc.integer({ min: 0, max: MAX_ID }));
const word = fc.string({ unit: fc.constantFrom(..."a b $ ( ) { } = / é \n".split(" "), " "), minLength: 1, maxLength: 8 });
const variable = fc.record({ name: fc.stringMatching(/^[A-Z]{1,2}$/), value: word });

const rlimitValue = fc.oneof(fc.constantFrom("unlimited" as const, 0), fc.nat());
export const rlimits = fc.uniqueArray(
  fc.record({ type: fc.constantFrom(...RLIMIT_TYPES), one: rlimitValue, other: rlimitValue }).map(({ type, one, other }) => {
    const [soft, hard] = rlimitNumber(one) <= rlimitNumber(other) ? [one, other] : [other, one];
    return { type, soft, hard };
  }),
  { maxLength: 3, selector: ({ type }) => type },
);

export const sysctls = fc.uniqueArray(
  fc.record({ name: fc.constantFrom(...SAFE_SYSCTLS), value: fc.constantFrom("0", "1 2", "1024\t65535") }),
  { maxLength: 2, selector: ({ name }) => name },
);

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

const appArmorProfile = fc.constantFrom({ type: "RuntimeDefault" }, { type: "Unconfined" }, { type: "Localhost", localhostProfile: "a" });

const image = fc.record({
  user: fc.constantFrom("", "0", "7", "7:8", "web", "web:web"),
  env: fc.array(
    variable.map(({ name, value }) => `${name}=${value}`),
    { maxLength: 3 },
  ),
  entrypoint: fc.array(word, { maxLength: 2 }),
  // With a Cmd there is always something to run.
  cmd: fc.array(word, { minLength: 1, maxLength: 2 }),
  workingDir: fc.constantFrom("", "/srv"),
});
const PASSWD = "root:x:0:0::/:\nweb:x:1000:100::/:\n";
const GROUP = "web:x:100:\nmore:x:9:web,root\nless:x:3:web\nsome:x:5:web\n";

const VOLUMES = [
  { name: "disk", emptyDir: {} },
  { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
  { name: "own", tmpfs: { mode: 0o700 } },
  { name: "model", image: { reference: "oci:/m" } },
];
const volumeMount = fc
  .record({
    name: fc.constantFrom(...VOLUMES.map(({ name }) => name)),
    mountPath: fc.constantFrom("/a", "/a/b", "/a/b/", "//c", "/home/é"),
    readOnly: fc.boolean(),
    recursive: fc.constantFrom("Disabled", "IfPossible", "Enabled"),
  })
  .map(({ recursive, ...mount }) => ({ ...mount, recursiveReadOnly: mount.readOnly ? recursive : "Disabled" }))
  // Refused: an image is read-only.
  .filter(({ name, readOnly }) => name !== "model" || readOnly);

const app: fc.Arbitrary<App> = fc
  .record({
    capabilities,
    context: fc.record({
      runAsUser: maybe(id),
      runAsGroup: maybe(id),
      allowPrivilegeEscalation: maybe(fc.boolean()),
      readOnlyRootFilesystem: maybe(fc.boolean()),
      umask: maybe(fc.integer({ min: 0, max: 0o777 })),
      privileged: maybe(fc.boolean()),
      procMount: maybe(fc.constant("Default")),
      appArmorProfile: maybe(appArmorProfile),
    }),
    image,
    command: fc.array(word, { maxLength: 2 }),
    args: fc.array(word, { maxLength: 2 }),
    env: fc.array(variable, { maxLength: 4 }),
    workingDir: fc.constantFrom("", "/tmp"),
    rlimits,
    volumeMounts: fc.uniqueArray(volumeMount, { maxLength: 3, selector: ({ mountPath }) => mountPath.replaceAll("/", "") }),
  })
  .map(({ capabilities, context, image, ...container }) => {
    const ambient = typeof capabilities.ambient === "object" ? pick(capabilities, capabilities.ambient.picked) : capabilities.ambient;
    // Refused together with false.
    const sysAdmin = context.privileged === true || finalOf(capabilities).includes("CAP_SYS_ADMIN");
    const held = sysAdmin && context.allowPrivilegeEscalation === false ? { allowPrivilegeEscalation: undefined } : {};
    return {
      container: { ...container, securityContext: { capabilities: { ...capabilities, ambient }, ...context, ...held } },
      image,
      users: { passwd: PASSWD, group: GROUP },
    };
  });

const sandbox = fc.record({
  volumes: fc.constant(VOLUMES),
  securityContext: fc.record({
    runAsUser: maybe(id),
    runAsGroup: maybe(id),
    supplementalGroups: fc.array(fc.oneof(id, fc.constantFrom(3, 5, 100)), { maxLength: 3 }),
    supplementalGroupsPolicy: fc.constantFrom("Merge", "Strict"),
    sysctls,
    appArmorProfile: maybe(appArmorProfile),
  }),
});

const node: fc.Arbitrary<Node> = fc
  .record({
    adapter: fc.constantFrom(...ADAPTERS),
    capabilityMode: fc.constantFrom("merged", "no-inheritable"),
    ambient: fc.boolean(),
    traits: fc.record({ umask: fc.boolean(), setuid: fc.boolean() }),
    sandbox,
  })
  // Refused under runsc.
  .map(({ sandbox: { securityContext, ...ofSandbox }, ...rest }) => ({
    ...rest,
    sandbox: { ...ofSandbox, securityContext: rest.adapter === "runsc" ? { ...securityContext, sysctls: [] } : securityContext },
  }));

/** What render takes, random but admitted by the parser. */
export const inputs: fc.Arbitrary<RenderInput> = fc
  .tuple(fc.array(app, { minLength: 1, maxLength: 3 }), node)
  .map(([apps, where]) => renderInput(apps, where));

/** Some of what is there in the end, which is all that an ambient list may name. */
function pick(asked: { add: string[]; drop: string[] }, picked: number): string[] {
  return finalOf(asked).filter((_name, index) => ((picked >> (index % 16)) & 1) === 1);
}

function finalOf({ add, drop }: { add: string[]; drop: string[] }): string[] {
  const [container] = renderInput([{ container: { securityContext: { capabilities: { add, drop } } } }]).request.spec.containers;
  return container ? finalCapabilities(container.securityContext.capabilities) : [];
}
