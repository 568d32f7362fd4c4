/** Pods for the tests of policy: one that a level admits, and fields of it set to what the level should or should not admit. */

export type Manifest = Record<string, unknown>;

export const CONTAINER_LISTS = ["spec.containers", "spec.initContainers", "spec.ephemeralContainers"];

const restrictedContainer = (name: string): Manifest => ({
  name,
  image: "oci:/srv/busybox",
  securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
});

/** What baseline admits, and nothing more than that. */
export const plainPod = (): Manifest => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web" },
  spec: { containers: [{ name: "app" }], initContainers: [{ name: "init" }], ephemeralContainers: [{ name: "debug" }] },
});

/** What restricted admits, and nothing more than that. */
export const restrictedPod = (): Manifest => ({
  ...plainPod(),
  spec: {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
    containers: [restrictedContainer("app")],
    initContainers: [restrictedContainer("init")],
    ephemeralContainers: [restrictedContainer("debug")],
  },
});

/** The manifest with spec.volumes[0].hostPath, or what else the path is, set; undefined takes the field away. */
export function withField(manifest: Manifest, path: string, value: unknown): Manifest {
  // A part in brackets that is no number is a key with dots.
  const keys = path.match(/[^.[\]]+|\[[^\]]*\]/g) ?? [];
  const copy = structuredClone(manifest);
  put(copy, keys, value);
  return copy;
}

function put(into: Manifest, [key = "", ...rest]: readonly string[], value: unknown): void {
  const at = key.replace(/^\[|\]$/g, "");
  if (rest.length === 0) {
    if (value === undefined) delete into[at];
    else into[at] = value;
    return;
  }
  const inner = into[at];
  if (typeof inner !== "object" || inner === null) into[at] = /^\[\d+\]$/.test(rest[0] ?? "") ? [] : {};
  put(into[at] as Manifest, rest, value);
}
