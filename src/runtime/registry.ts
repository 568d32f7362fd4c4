/** The runtime classes of this node: found, probed, and kept. */

import { needsRawSockets, needsSeccomp, needsSetuid } from "../bundle/render.ts";
import type { BerthConfig, RuntimeClassConfig } from "../config.ts";
import { BerthError, toBerthError } from "../errors.ts";
import type { Cgroups } from "../host/cgroups.ts";
import type { SandboxSpec } from "../sandbox/spec.ts";
import { findBinary, RuntimeBinaries } from "./binaries.ts";
import { Crun } from "./crun.ts";
import { type Probe, probeRuntime, removeOldTrials } from "./probe.ts";
import { Runc } from "./runc.ts";
import { Runsc } from "./runsc.ts";
import type { ResolvedRuntime, Runtime } from "./runtime.ts";

/** A runtime class as the probe found it. */
export interface RuntimeClassInfo {
  name: string;
  aliases: string[];
  adapter: string;
  binary: string;
  ready: boolean;
  /** Why it is not ready, for people. */
  message: string;
  version: string;
  /** sha256:HEX of the binary. */
  digest: string;
  platform: string;
  features: string[];
}

export interface RegistryPlaces {
  readonly runtimes: string;
  readonly pauseRootfs: string;
  /** Folder for the files of trials. */
  readonly probes: string;
}

export class RuntimeRegistry {
  readonly #config: BerthConfig;
  readonly #places: RegistryPlaces;
  readonly #cgroups: Cgroups;
  readonly #binaries: RuntimeBinaries;
  /** By digest and flags. A probe that failed is not kept, so that a mended node is found at the next try. */
  readonly #probes = new Map<string, Promise<Probe>>();
  #oldTrialsGone: Promise<void> | undefined;

  constructor(config: BerthConfig, places: RegistryPlaces, cgroups: Cgroups) {
    this.#config = config;
    this.#places = places;
    this.#cgroups = cgroups;
    this.#binaries = new RuntimeBinaries(places.runtimes);
  }

  /** The class of this name ("" is the default) with its binary as it is now. Throws RuntimeClassUnknown or RuntimeUnusable. */
  async resolve(className: string): Promise<ResolvedRuntime> {
    const entry = findClass(this.#config, className);
    const { path, digest } = await this.#binaries.keep(findBinary(entry.binary));
    const { version, platform, traits } = await this.#probe(entry, path, digest);
    return { className: entry.name, adapter: entry.adapter, binary: path, digest, version, platform, traits, flags: entry.flags };
  }

  /** Every class with what the probe says of it, the default one first. */
  async list(): Promise<RuntimeClassInfo[]> {
    const first = findClass(this.#config, "");
    const entries = [first, ...this.#config.runtimeClasses.filter((entry) => entry !== first)];
    return await Promise.all(entries.map((entry) => this.#info(entry)));
  }

  /** Removes the copies of binaries that neither a class has now nor one of these sandboxes uses. */
  sweep(used: readonly ResolvedRuntime[]): void {
    this.#binaries.retain(used.map((runtime) => runtime.digest));
  }

  async #info(entry: RuntimeClassConfig): Promise<RuntimeClassInfo> {
    const common = { name: entry.name, aliases: entry.aliases, adapter: entry.adapter, binary: entry.binary };
    try {
      const { version, digest, platform, traits } = await this.resolve(entry.name);
      const features = Object.entries(traits).flatMap(([name, has]) => (has === true ? [featureName(name)] : []));
      return { ...common, binary: findBinary(entry.binary), ready: true, message: "", version, digest, platform, features };
    } catch (error) {
      return { ...common, ready: false, message: toBerthError(error).message, version: "", digest: "", platform: "", features: [] };
    }
  }

  async #probe(entry: RuntimeClassConfig, binary: string, digest: string): Promise<Probe> {
    const key = [entry.adapter, digest, ...entry.flags].join(" ");
    const running = this.#probes.get(key) ?? this.#startProbe(entry, binary);
    this.#probes.set(key, running);
    try {
      return await running;
    } catch (error) {
      this.#probes.delete(key);
      throw error;
    }
  }

  async #startProbe(entry: RuntimeClassConfig, binary: string): Promise<Probe> {
    const { pauseRootfs, probes } = this.#places;
    const { adapter, flags } = entry;
    this.#oldTrialsGone ??= removeOldTrials({ dir: probes, cgroups: this.#cgroups, cgroupRoot: this.#config.cgroupRoot });
    await this.#oldTrialsGone;
    return await probeRuntime({
      adapter,
      binary,
      flags,
      pauseRootfs,
      dir: probes,
      cgroups: this.#cgroups,
      cgroupRoot: this.#config.cgroupRoot,
    });
  }
}

/** ignoreCgroups → ignore-cgroups */
const featureName = (trait: string): string => trait.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The class that a spec names; "" is the default. Throws RuntimeClassUnknown. */
export function findClass(config: BerthConfig, className: string): RuntimeClassConfig {
  const wanted = className === "" ? config.defaultRuntimeClass : className;
  const found = config.runtimeClasses.find((entry) => entry.name === wanted || entry.aliases.includes(wanted));
  if (found) return found;
  const names = config.runtimeClasses.flatMap((entry) => [entry.name, ...entry.aliases]);
  throw new BerthError(
    "RuntimeClassUnknown",
    `spec.runtimeClassName: this node has no runtime class ${JSON.stringify(wanted)} (it has ${names.join(", ")})`,
  );
}

/** The adapter for a sandbox. */
export function runtimeFor(runtime: ResolvedRuntime, sandboxId: string, spec: SandboxSpec): Runtime {
  switch (runtime.adapter) {
    case "runsc":
      return new Runsc(runtime, {
        id: sandboxId,
        rawSockets: needsRawSockets(spec.containers),
        setuid: needsSetuid(spec.containers),
        seccomp: needsSeccomp(spec),
      });
    case "runc":
      return new Runc(runtime);
    case "crun":
      return new Crun(runtime);
  }
}
