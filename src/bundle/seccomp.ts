/** linux.seccomp of a container: what RuntimeDefault comes to. Pure. Rules: docs/rules.md, "Seccomp". */

import { type Capability, KERNEL_CAPABILITIES } from "./capabilities.ts";
import type { OciSeccomp, OciSeccompArg, OciSyscallRule } from "./oci.ts";
import {
  ALWAYS_ALLOWED,
  type Architecture,
  ARCHITECTURES,
  FAMILIES_ABOVE,
  LOWEST_REFUSED_FAMILY,
  NAMESPACE_FLAGS,
  OF_ARCHITECTURE,
  PERSONALITIES,
  WITH_CAPABILITY,
} from "./seccomp-default.ts";

const EPERM = 1;
const ENOSYS = 38;

/** A rule of RuntimeDefault and why it is there. */
export interface ReasonedRule {
  readonly rule: OciSyscallRule;
  readonly reason: string;
}

export interface DefaultProfileInput {
  /** The container's final set. */
  readonly capabilities: readonly Capability[];
  readonly architecture: Architecture;
  /** Whether the runtime answers with the error number that a rule names, or with EPERM always. */
  readonly errnoRet: boolean;
}

/** Everything is refused with EPERM but what the rules allow. */
export function runtimeDefault(input: DefaultProfileInput): OciSeccomp {
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: [...ARCHITECTURES[input.architecture]],
    syscalls: runtimeDefaultRules(input).map(({ rule }) => rule),
  };
}

/** In a fixed order: what everybody may, what depends on arguments, what each capability adds in the kernel's order. */
export function runtimeDefaultRules(input: DefaultProfileInput): ReasonedRule[] {
  const { capabilities, architecture } = input;
  const everybody = [...ALWAYS_ALLOWED.flat(), ...OF_ARCHITECTURE[architecture]];
  const granted = KERNEL_CAPABILITIES.flatMap((name) => {
    const names = capabilities.includes(name) ? WITH_CAPABILITY[name] : undefined;
    return names ? [{ rule: allow(names), reason: `system calls that ${name} is for` }] : [];
  });
  return [
    { rule: allow(everybody), reason: "system calls of every container" },
    ...socketRules(architecture),
    ...PERSONALITIES.map((value) => ({
      rule: allow(["personality"], { value, op: "SCMP_CMP_EQ" }),
      reason: "personalities that change no protection",
    })),
    ...(capabilities.includes("CAP_SYS_ADMIN") ? [] : withoutNamespaces(input)),
    ...granted,
  ];
}

/** Every action that a profile can take, each once. */
export function actionsOf({ defaultAction, syscalls }: OciSeccomp): OciSeccomp["defaultAction"][] {
  return [...new Set([defaultAction, ...syscalls.map(({ action }) => action)])];
}

/** Whether a profile refuses something with another error than EPERM. */
export function hasOtherErrno({ defaultErrnoRet = EPERM, syscalls }: OciSeccomp): boolean {
  return [defaultErrnoRet, ...syscalls.map(({ errnoRet = EPERM }) => errnoRet)].some((number) => number !== EPERM);
}

function socketRules(architecture: Architecture): ReasonedRule[] {
  const reason = "socket families but AF_ALG and AF_VSOCK";
  const families = [
    allow(["socket"], { value: LOWEST_REFUSED_FAMILY, op: "SCMP_CMP_LT" }),
    ...FAMILIES_ABOVE.map((value) => allow(["socket"], { value, op: "SCMP_CMP_EQ" })),
  ].map((rule) => ({ rule, reason }));
  if (architecture !== "x86-64") return families;
  // libseccomp allows socketcall(SYS_SOCKET) with every socket that is allowed, whatever its family; runc leaves a rule away that says what the default does.
  const multiplexed = { rule: refuse(["socketcall"], ENOSYS), reason: "its socket family stands in memory, where no filter can look" };
  return [multiplexed, ...families];
}

/** Whoever lacks SYS_ADMIN makes no namespaces. clone3 has its flags in memory: libraries fall back to clone when there is no clone3. */
function withoutNamespaces({ errnoRet }: DefaultProfileInput): ReasonedRule[] {
  const clone = {
    rule: allow(["clone"], { value: NAMESPACE_FLAGS, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }),
    reason: "clone without namespaces",
  };
  if (!errnoRet) return [clone, { rule: allow(["clone3"]), reason: "this runtime can refuse it only in a way that makes no thread start" }];
  return [
    clone,
    { rule: refuse(["clone3"], ENOSYS), reason: "its flags stand in memory, where no filter can look: libraries use clone then" },
  ];
}

function allow(names: readonly string[], condition?: Omit<OciSeccompArg, "index">): OciSyscallRule {
  const args = condition === undefined ? {} : { args: [{ index: 0, ...condition }] };
  return { names: [...names], action: "SCMP_ACT_ALLOW", ...args };
}

function refuse(names: readonly string[], errnoRet: number): OciSyscallRule {
  return { names: [...names], action: "SCMP_ACT_ERRNO", errnoRet };
}
