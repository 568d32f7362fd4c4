/** How often a property is tried: as often as the test says, or as `npm run test:long` does. */
export function runs(usual: number): { numRuns: number } {
  return { numRuns: Number(process.env["BERTH_TEST_RUNS"] ?? usual) };
}
