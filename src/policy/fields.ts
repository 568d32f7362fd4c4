/** Values that both limits and defaults of policy.yaml have. Pure. */

import * as z from "zod";
import { type Capability, normalizeCapability } from "../bundle/capabilities.ts";
import { MAX_ID } from "../bundle/oci.ts";

export const id = z.number({ error: "is not a whole number" }).refine((value) => Number.isInteger(value) && value >= 0 && value <= MAX_ID, {
  error: "is not an id",
  params: { allowed: `0 to ${MAX_ID}` },
});

export const capability = z.string({ error: "is not a text" }).transform((text, context): Capability | "ALL" => {
  const name = normalizeCapability(text);
  if (name !== undefined) return name;
  const params = { allowed: "a name of capabilities(7) such as NET_ADMIN, or ALL" };
  context.addIssue({ code: "custom", input: text, message: "is not a capability of the kernel", params });
  return z.NEVER;
});
