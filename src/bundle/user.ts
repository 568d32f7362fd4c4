/** process.user: from the request, the image's USER and the texts of the image's /etc/passwd and /etc/group. Pure. */

import { BerthError } from "../errors.ts";
import type { UserDatabase } from "../image/image.ts";
import { MAX_ID, type OciUser } from "./oci.ts";

export interface UserRequest {
  readonly runAsUser?: number | undefined;
  readonly runAsGroup?: number | undefined;
  readonly supplementalGroups: readonly number[];
  /** Merge adds the groups of the image's /etc/group that list the user, Strict does not. */
  readonly supplementalGroupsPolicy: "Merge" | "Strict";
  /** USER of the image config; empty when it says nothing. */
  readonly imageUser: string;
  readonly users: UserDatabase;
}

/**
 * The user that a container's process runs as: request, image USER, root. Without a group the user's own of /etc/passwd, else 0.
 * Further groups are those asked for and, with policy Merge, those of /etc/group that list the user, primary first
 * (CVE-2023-25173); an image USER that names a group has no others of the file, as Docker defines it.
 * Throws UserUnresolvable when a name is unknown.
 */
export function resolveUser(request: UserRequest): OciUser {
  const { runAsUser, runAsGroup, imageUser, supplementalGroups } = request;
  const nothingAsked = runAsUser === undefined && runAsGroup === undefined && supplementalGroups.length === 0;
  if (nothingAsked && imageUser === "") return { uid: 0, gid: 0 };
  const [user, group] = runAsUser === undefined ? splitImageUser(imageUser) : [String(runAsUser), undefined];
  if (isNumeric(user) && group !== undefined && isNumeric(group)) {
    const gid = runAsGroup ?? numericId(group, imageUser);
    return { uid: numericId(user, imageUser), gid, additionalGids: withPrimary(gid, supplementalGroups) };
  }
  const account = findAccount(user, request.users, imageUser);
  const gid = runAsGroup ?? (group === undefined ? account.gid : findGroup(group, request.users, imageUser));
  const merged = group === undefined && request.supplementalGroupsPolicy === "Merge";
  const listed = merged ? groupsListing(account.name, request.users) : [];
  return { uid: account.uid, gid, additionalGids: withPrimary(gid, [...listed, ...supplementalGroups]) };
}

/** Whether the user is one that the image gives by name: what uid it has is the image's word. */
export function isNamedByImage(request: Pick<UserRequest, "runAsUser" | "imageUser">): boolean {
  if (request.runAsUser !== undefined || request.imageUser === "") return false;
  return !isNumeric(splitImageUser(request.imageUser)[0]);
}

/** Primary first, the others ascending, none twice. */
function withPrimary(gid: number, others: readonly number[]): number[] {
  return [gid, ...[...new Set(others)].filter((id) => id !== gid).sort((a, b) => a - b)];
}

function splitImageUser(imageUser: string): [string, string | undefined] {
  const parts = imageUser.split(":");
  if (parts.length > 2) throw unresolvable(imageUser, "has more than one ':'");
  const [user = "", group] = parts;
  // ":g" is what some builders write for "root's user, group g".
  return [user === "" ? "0" : user, group === "" ? undefined : group];
}

interface Account {
  uid: number;
  gid: number;
  name: string | undefined;
}

function findAccount(user: string, users: UserDatabase, imageUser: string): Account {
  const entries = passwdEntries(users.passwd ?? "");
  if (isNumeric(user)) {
    const uid = numericId(user, imageUser);
    return entries.find((entry) => entry.uid === uid) ?? { uid, gid: 0, name: undefined };
  }
  const found = entries.find((entry) => entry.name === user);
  if (found) return found;
  // The superuser's name needs no file: every system gives it the id 0.
  if (user === "root") return { uid: 0, gid: 0, name: "root" };
  const where = users.passwd === undefined ? "the image has no /etc/passwd" : "/etc/passwd has no such entry";
  throw unresolvable(imageUser, `names the user ${JSON.stringify(user)}, but ${where}`);
}

function findGroup(group: string, users: UserDatabase, imageUser: string): number {
  if (isNumeric(group)) return numericId(group, imageUser);
  const found = groupEntries(users.group ?? "").find((entry) => entry.name === group);
  if (found) return found.gid;
  const where = users.group === undefined ? "the image has no /etc/group" : "/etc/group has no such entry";
  throw unresolvable(imageUser, `names the group ${JSON.stringify(group)}, but ${where}`);
}

function groupsListing(name: string | undefined, users: UserDatabase): number[] {
  if (name === undefined) return [];
  return groupEntries(users.group ?? "").flatMap((entry) => (entry.members.includes(name) ? [entry.gid] : []));
}

function passwdEntries(text: string): { name: string; uid: number; gid: number }[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , uid = "", gid = ""] = line.split(":");
    return name !== "" && inRange(uid) && inRange(gid) ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
  });
}

function groupEntries(text: string): { name: string; gid: number; members: string[] }[] {
  return text.split("\n").flatMap((line) => {
    const [name = "", , gid = "", members = ""] = line.split(":");
    return name !== "" && inRange(gid) ? [{ name, gid: Number(gid), members: members.trim().split(",") }] : [];
  });
}

const isNumeric = (text: string): boolean => /^\d+$/.test(text);
const inRange = (text: string): boolean => isNumeric(text) && Number(text) <= MAX_ID;

function numericId(text: string, imageUser: string): number {
  if (!inRange(text)) throw unresolvable(imageUser, `has the id ${text}, which is not 0 to ${MAX_ID}`);
  return Number(text);
}

function unresolvable(imageUser: string, why: string): BerthError {
  return new BerthError(
    "UserUnresolvable",
    `the image's USER ${JSON.stringify(imageUser)} ${why}; set securityContext.runAsUser to a number, or mend the image`,
  );
}
