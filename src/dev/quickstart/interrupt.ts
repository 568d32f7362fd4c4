/** Lets a program clean up when somebody wants it to end. */

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class Interrupted extends Error {
  override readonly name = "Interrupted";
  readonly signal: (typeof SIGNALS)[number];

  constructor(signal: (typeof SIGNALS)[number]) {
    super(`${signal}: cleaned up`);
    this.signal = signal;
  }
}

/** Rejects with Interrupted at the first signal; from the call on no signal ends the process by itself. */
export async function interrupted(): Promise<never> {
  return await new Promise((_resolve, reject) => {
    for (const signal of SIGNALS) process.on(signal, () => reject(new Interrupted(signal)));
  });
}
