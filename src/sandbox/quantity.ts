/** Kubernetes' quantities: 64Mi, 1.5G, 1e6. Pure. */

const FACTORS: Readonly<Record<string, number>> = {
  ...Object.fromEntries(["", "k", "M", "G", "T", "P", "E"].map((suffix, power) => [suffix, 1000 ** power])),
  ...Object.fromEntries(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].map((suffix, power) => [suffix, 1024 ** (power + 1)])),
  m: 0.001,
};

/** Whole units, rounded up as Kubernetes does; undefined when the text is no quantity of 0 or more, or has no exact number. */
export function parseQuantity(text: string): number | undefined {
  const [, digits = "", suffix = "", exponent] = /^(\d+\.?\d*|\.\d+)(?:([KMGTPE]i|[mkMGTPE])|[eE]([-+]?\d{1,2}))?$/.exec(text) ?? [];
  if (digits === "") return undefined;
  const units = Math.ceil(Number(digits) * (exponent === undefined ? (FACTORS[suffix] ?? Number.NaN) : 10 ** Number(exponent)));
  return Number.isSafeInteger(units) ? units : undefined;
}
