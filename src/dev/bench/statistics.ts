/** Medians and the like. Pure. */

/** The middle value; between two the mean. NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = NaN, high = NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

/** The smallest value that 95 of 100 do not exceed. NaN of nothing. */
export function p95(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? NaN;
}

/** Median of the ratios of values that were measured one after the other: what disturbs both does not count. */
export function pairedRatio(values: readonly number[], bases: readonly number[]): number {
  return median(values.flatMap((value, index) => (bases[index] === undefined ? [] : [value / bases[index]])));
}
