/** A runtime class as a sandbox was created with it. It goes on with this binary until it is gone. */
export interface ResolvedRuntime {
  className: string;
  adapter: AdapterName;
  /** Path of the kept binary under STATE/runtimes/DIGEST. */
  binary: string;
  /** sha256:HEX of the binary. */
  digest: string;
  version: string;
  /** runsc's platform; empty for others. */
  platform: string;
  /** What the probe found. */
  traits: RuntimeTraits;
  /** Flags of the class, before the verb. */
  flags: string[];
}

export type AdapterName = "runsc" | "runc" | "crun";

/** What a runtime binary can do: declared per adapter and version for offline rendering, probed for running. */
export interface RuntimeTraits {
  /** Ambient capabilities reach an exec'ed process. */
  ambient: boolean;
  /** Cgroups must be left alone (runsc --ignore-cgroups). */
  ignoreCgroups: boolean;
}
