/** Rules of texts that several parsers share. Pure. */

import * as z from "zod";
import { parseReference } from "../image/reference.ts";

/** A refinement whose message is the rule and whose allowed text travels in params. */
export function rule(test: (value: string) => boolean, message: string, allowed: string): (text: z.ZodString) => z.ZodString {
  return (text) => text.refine(test, { error: message, params: { allowed } });
}

const noNul = rule((text) => !text.includes("\0"), "contains a NUL character", "text without NUL");
export const text = noNul(z.string());
export const imageReference = text.superRefine((reference, context) => {
  const parsed = parseReference(reference);
  if (typeof parsed === "string")
    context.addIssue({ code: "custom", message: parsed, params: { allowed: "oci:PATH[:TAG] with an absolute path" } });
});
export const isDnsLabel = (name: string): boolean => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name);
export const DNS_LABEL = ["is not a DNS label", "1 to 63 lower-case letters, digits and '-', a letter or digit at both ends"] as const;
export const dnsLabel = rule(isDnsLabel, ...DNS_LABEL);
