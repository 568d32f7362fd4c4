import { expect, test } from "vitest";
import type { UserDatabase } from "../../src/image/image.ts";
import { refusal, renderApp } from "./rendering.ts";

const USERS: UserDatabase = {
  passwd: "root:x:0:0::/root:/bin/sh\n# a comment\nweb:x:1000:100::/:/bin/sh\nbig:x:4294967295:0::/:/bin/sh\n\nshort:x:7\n",
  group:
    "root:x:0:\nweb:x:100:\nlate:x:900:web,other\nearly:x:20:other,web\nagain:x:20:web\nown:x:100:web\nhuge:x:4294967295:web\nops:x:50:other\n",
};

interface Wish {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  /** USER of the image. */
  readonly user?: string;
}

function userOf({ user = "", ...securityContext }: Wish, users: UserDatabase = USERS) {
  return renderApp({ container: { securityContext }, image: { user }, users }).process.user;
}

test("nobody says anything: root, and no list of groups at all", () => {
  expect(userOf({})).toEqual({ uid: 0, gid: 0 });
});

test("unset and 0 differ: a user 0 that is asked for gets its groups, and beats the image's", () => {
  expect(userOf({ runAsUser: 0 })).toEqual({ uid: 0, gid: 0, additionalGids: [0] });
  expect(userOf({ runAsUser: 0, user: "web" })).toEqual({ uid: 0, gid: 0, additionalGids: [0] });
  expect(userOf({ runAsGroup: 0, user: "web" })).toMatchObject({ uid: 1000, gid: 0 });
});

test("a number takes its group and further groups from the image's files; the primary is first, the others ascend, each once", () => {
  expect(userOf({ runAsUser: 1000 })).toEqual({ uid: 1000, gid: 100, additionalGids: [100, 20, 900] });
  expect(userOf({ user: "1000" })).toEqual({ uid: 1000, gid: 100, additionalGids: [100, 20, 900] });
  expect(userOf({ user: "web" })).toEqual({ uid: 1000, gid: 100, additionalGids: [100, 20, 900] });
});

test("a number that the files do not know has group 0", () => {
  expect(userOf({ runAsUser: 4000 })).toEqual({ uid: 4000, gid: 0, additionalGids: [0] });
  expect(userOf({ user: "4000" }, {})).toEqual({ uid: 4000, gid: 0, additionalGids: [0] });
});

test("runAsGroup replaces the primary group and keeps the others", () => {
  expect(userOf({ runAsUser: 1000, runAsGroup: 20 })).toEqual({ uid: 1000, gid: 20, additionalGids: [20, 100, 900] });
});

test("runAsGroup alone: the user comes from the image, root when it says nothing", () => {
  expect(userOf({ runAsGroup: 5, user: "web" })).toMatchObject({ uid: 1000, gid: 5 });
  expect(userOf({ runAsGroup: 5, user: "1000:1000" })).toEqual({ uid: 1000, gid: 5, additionalGids: [5] });
  expect(userOf({ runAsGroup: 5 })).toEqual({ uid: 0, gid: 5, additionalGids: [5] });
});

test("u:g of numbers reads no file", () => {
  expect(userOf({ user: "1000:1000" })).toEqual({ uid: 1000, gid: 1000, additionalGids: [1000] });
});

test("u:g with names", () => {
  expect(userOf({ user: "web:ops" })).toEqual({ uid: 1000, gid: 50, additionalGids: [50] });
  expect(userOf({ user: "web:7" })).toEqual({ uid: 1000, gid: 7, additionalGids: [7] });
  expect(userOf({ user: ":ops" })).toMatchObject({ uid: 0, gid: 50 });
  expect(userOf({ user: "web:" })).toMatchObject({ uid: 1000, gid: 100 });
});

test("root needs no file", () => {
  expect(userOf({ user: "root" }, {})).toEqual({ uid: 0, gid: 0, additionalGids: [0] });
});

test.each([
  ["nobody", USERS, /"nobody".*\/etc\/passwd has no such entry.*runAsUser/],
  ["web", {}, /"web".*the image has no \/etc\/passwd/],
  ["web:nogroup", USERS, /group "nogroup".*\/etc\/group has no such entry/],
  ["web:ops", { passwd: USERS.passwd ?? "" }, /the image has no \/etc\/group/],
  ["a:b:c", USERS, /more than one ':'/],
  ["1000:1000:", USERS, /more than one ':'/],
  ["2147483648", USERS, /0 to 2147483647/],
  ["4294967295:0", USERS, /0 to 2147483647/],
  ["0:4294967296", USERS, /0 to 2147483647/],
  ["-1", USERS, /names the user "-1"/],
  ["big", USERS, /no such entry/],
  ["short", USERS, /no such entry/],
] satisfies [string, UserDatabase, RegExp][])("an image USER %j is refused", (user, users, expected) => {
  const error = refusal(() => userOf({ user }, users));
  expect(error.reason).toBe("UserUnresolvable");
  expect(error.message).toMatch(expected);
});

test("the request's user stands in for an image USER that cannot be resolved", () => {
  expect(userOf({ runAsUser: 7, user: "nobody" })).toEqual({ uid: 7, gid: 0, additionalGids: [0] });
});
