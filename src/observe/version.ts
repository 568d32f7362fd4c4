import manifest from "../../package.json" with { type: "json" };

/** The version of berthd and berth. */
export const VERSION: string = manifest.version;
