/** Where in a container something may be mounted. Pure. */

/** Why nothing may be mounted there; undefined when it may. `path` is absolute and clean. */
export function destinationFault(path: string): string | undefined {
  if (path === "/") return "is the root folder";
  const kept = KERNEL_FOLDERS.find((folder) => path === folder || liesBelow(path, folder));
  return kept === undefined ? undefined : `lies in ${kept}, which is the kernel's`;
}

/** What the runtime mounts itself: whoever could mount over parts of these could take their masks away, or show a process another /proc. */
const KERNEL_FOLDERS = ["/proc", "/sys", "/dev"];

/** Why no path of the node that is there may be shown to a container; undefined when it may. `path` is absolute and clean. */
export function hostPathFault(path: string): string | undefined {
  if (path === "/") return "is the root folder, which has the kernel's folders in it";
  const kept = ["/proc", "/sys"].find((folder) => path === folder || liesBelow(path, folder));
  return kept === undefined ? undefined : `lies in ${kept}, by which the node's kernel is set`;
}

/** Without repeated and trailing slashes and "."; an absolute path that has no "..". */
export function cleanPath(path: string): string {
  return `/${partsOf(path).join("/")}`;
}

export function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** Whether `path` lies strictly below `folder`; both are clean. */
export function liesBelow(path: string, folder: string): boolean {
  return path !== folder && path.startsWith(folder === "/" ? "/" : `${folder}/`);
}
