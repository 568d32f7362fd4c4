/** What a spec that says nothing gets on this node. Pure. */

import * as z from "zod";
import { type DefaultCapabilities, finalCapabilities } from "../bundle/capabilities.ts";
import { askedCapabilities, effectiveSecurity } from "../bundle/security.ts";
import { show, type Violation } from "../errors.ts";
import type { ContainerSpec, SandboxRequest, SandboxSecurityContext, SandboxSpec, SecurityContext } from "../sandbox/spec.ts";
import { capability, id } from "./fields.ts";

const seccompProfile = z.union(
  [
    z.strictObject({ type: z.enum(["RuntimeDefault", "Unconfined"]) }),
    z.strictObject({
      type: z.literal("Localhost"),
      localhostProfile: z.string().refine((path) => path.split("/").every((part) => !["", ".", ".."].includes(part)), {
        error: "is not a clean relative path",
        params: { allowed: "a path in the node's profile folder" },
      }),
    }),
  ],
  { error: "is not a seccomp profile" },
);

export const defaultsSchema = z
  .strictObject({
    runtimeClassName: z.string().min(1, { error: "is empty" }).optional(),
    runAsUser: id.optional(),
    runAsGroup: id.optional(),
    runAsNonRoot: z.boolean().optional(),
    seccompProfile: seccompProfile.optional(),
    allowPrivilegeEscalation: z.boolean().optional(),
    readOnlyRootFilesystem: z.boolean().optional(),
    capabilities: z.strictObject({ drop: z.array(capability).optional() }).optional(),
  })
  .superRefine(({ runAsUser, runAsNonRoot }, context) => {
    if (runAsUser !== 0 || runAsNonRoot !== true) return;
    const params = { allowed: "another user, or no runAsNonRoot" };
    context.addIssue({ code: "custom", path: ["runAsUser"], input: 0, message: "is root, and runAsNonRoot is true", params });
  });

export type Defaults = z.output<typeof defaultsSchema>;

/** A spec with the node's defaults, and where each of them was said: path of the field in the request → policy.yaml:12 defaults.runAsUser. */
export interface Defaulted {
  readonly request: SandboxRequest;
  readonly defaulted: ReadonlyMap<string, string>;
}

/** Where nobody adds anything. */
export function withoutDefaults(request: SandboxRequest): Defaulted {
  return { request, defaulted: new Map() };
}

/** Fills in what nobody says. The sandbox's context is filled in for those containers that have nothing of their own. */
export function withDefaults(request: SandboxRequest, defaults: Defaults, sourceOf: (path: string) => string): Defaulted {
  const defaulted = new Map<string, string>();
  const given = (field: string, name: string): void => {
    defaulted.set(field, sourceOf(`defaults.${name}`));
  };
  const spec = {
    ...ofSandbox(request.spec, defaults, given),
    containers: request.spec.containers.map((container, index) => ofContainer(container, `spec.containers[${index}]`, defaults, given)),
  };
  return defaulted.size === 0 ? { request, defaulted } : { request: { ...request, spec }, defaulted };
}

/** The capabilities that containers start from, where the node gives more than the usual ones. */
export function withDefaultCapabilities(asked: Defaulted, defaults: DefaultCapabilities): Defaulted {
  if (defaults === "seed") return asked;
  const { request } = asked;
  const containers = request.spec.containers.map((container) => {
    const { securityContext } = container;
    return { ...container, securityContext: { ...securityContext, capabilities: { ...securityContext.capabilities, defaults } } };
  });
  const fields = containers.map((_container, index) => `spec.containers[${index}].securityContext.capabilities`);
  const defaulted = new Map([...asked.defaulted, ...fields.map((field) => [field, `defaultCapabilities: ${defaults}`] as const)]);
  return { request: { ...request, spec: { ...request.spec, containers } }, defaulted };
}

/** Told of each field that was filled in: its path in the request and the name of the default. */
type Given = (field: string, name: string) => void;

const OF_BOTH = ["runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile"] as const;
const OF_CONTAINERS = ["allowPrivilegeEscalation", "readOnlyRootFilesystem"] as const;

function ofSandbox(spec: SandboxSpec, defaults: Defaults, given: Given): SandboxSpec {
  const filled: { -readonly [Name in (typeof OF_BOTH)[number]]?: SandboxSecurityContext[Name] } = {};
  const fill = <Name extends (typeof OF_BOTH)[number]>(name: Name, value: SandboxSecurityContext[Name]): void => {
    const said =
      spec.securityContext[name] !== undefined || spec.containers.every(({ securityContext }) => securityContext[name] !== undefined);
    if (said || value === undefined) return;
    given(`spec.securityContext.${name}`, name);
    filled[name] = value;
  };
  for (const name of OF_BOTH) fill(name, defaults[name]);
  const securityContext = { ...spec.securityContext, ...filled };
  if (spec.runtimeClassName !== "" || defaults.runtimeClassName === undefined) return { ...spec, securityContext };
  given("spec.runtimeClassName", "runtimeClassName");
  return { ...spec, securityContext, runtimeClassName: defaults.runtimeClassName };
}

function ofContainer(container: ContainerSpec, path: string, defaults: Defaults, given: Given): ContainerSpec {
  const { securityContext } = container;
  const filled: { -readonly [Name in (typeof OF_CONTAINERS)[number]]?: boolean } = {};
  for (const name of OF_CONTAINERS) {
    const value = defaults[name];
    if (securityContext[name] !== undefined || value === undefined) continue;
    given(`${path}.securityContext.${name}`, name);
    filled[name] = value;
  }
  const drop = dropOf(securityContext, defaults);
  if (drop.length > 0) given(`${path}.securityContext.capabilities.drop`, "capabilities.drop");
  const capabilities = drop.length > 0 ? { ...securityContext.capabilities, drop } : securityContext.capabilities;
  return { ...container, securityContext: { ...securityContext, ...filled, capabilities } };
}

/** A drop beats an add of the same name, so what the spec adds by name is not dropped by default, and nothing is where it adds ALL or is privileged. */
function dropOf(securityContext: SecurityContext, defaults: Defaults) {
  const { add, drop } = askedCapabilities(securityContext);
  if (drop.length > 0 || add.includes("ALL")) return [];
  return (defaults.capabilities?.drop ?? []).filter((name) => !add.includes(name));
}

/** What a spec says itself and what it gets by default, where the two cannot both hold. */
export function conflicts({ request: { spec }, defaulted }: Defaulted): Violation[] {
  return spec.containers.flatMap((container, index): Violation[] => {
    const path = `spec.containers[${index}].securityContext`;
    const { capabilities, allowPrivilegeEscalation } = container.securityContext;
    const final = finalCapabilities(askedCapabilities(container.securityContext));
    const conflict = (field: string, value: unknown, why: string, allowed: string): Violation[] => {
      const source = defaulted.get(field);
      return source === undefined
        ? []
        : [{ field, rule: `is ${show(value)} by default (${source}), and ${why}`, value: "nothing", allowed }];
    };
    const lost = typeof capabilities.ambient === "string" ? [] : capabilities.ambient.filter((name) => !final.includes(name));
    return [
      ...(allowPrivilegeEscalation === false && final.includes("CAP_SYS_ADMIN")
        ? conflict(`${path}.allowPrivilegeEscalation`, false, "cannot be false with the capability SYS_ADMIN", "true, or no SYS_ADMIN")
        : []),
      ...(lost.length > 0
        ? conflict(
            `${path}.capabilities.drop`,
            capabilities.drop,
            `ambient names ${lost.join(" ")}`,
            "to add what is ambient, or a drop of its own",
          )
        : []),
      ...(effectiveSecurity(spec, container).runAsNonRoot && effectiveSecurity(spec, container).runAsUser === 0
        ? conflict("spec.securityContext.runAsNonRoot", true, `container ${container.name} asks for user 0`, "false, or another user")
        : []),
    ];
  });
}
