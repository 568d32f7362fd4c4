import { expect, test } from "vitest";
import { durationOf, sandboxMessage, timestampOf } from "../../src/api/answers.ts";
import { messageJson } from "../../src/cli/session.ts";
import { SandboxSchema } from "../../src/gen/berth/v1/sandbox_pb.js";
import { parseSandboxRequest } from "../../src/sandbox/spec.ts";
import { recordOf } from "../api/fixture.ts";

const REQUEST = parseSandboxRequest({
  metadata: { namespace: "team-a", name: "web", labels: { app: "web" } },
  spec: {
    runtimeClassName: "runsc",
    containers: [
      {
        name: "web",
        image: "oci:/srv/busybox:latest",
        command: ["sh"],
        args: ["-c", "true"],
        env: [{ name: "A", value: "b" }],
        workingDir: "/tmp",
        securityContext: { runAsUser: 1000, runAsGroup: 0, capabilities: { add: ["NET_ADMIN"], drop: ["KILL"], ambient: ["NET_ADMIN"] } },
      },
    ],
  },
});

test("the JSON names of a Sandbox are an interface", () => {
  const record = recordOf(REQUEST, "0".repeat(32));
  record.finishedAt = "2026-11-21T10:00:03Z";
  record.reason = "Completed";
  record.message = "every app ended";
  expect(messageJson(SandboxSchema, sandboxMessage(record))).toMatchInlineSnapshot(`
    {
      "metadata": {
        "annotations": {},
        "createdAt": "2026-11-21T10:00:00.123Z",
        "generation": "1",
        "id": "00000000000000000000000000000000",
        "labels": {
          "app": "web",
        },
        "name": "web",
        "namespace": "team-a",
        "resourceVersion": "3",
      },
      "spec": {
        "containers": [
          {
            "args": [
              "-c",
              "true",
            ],
            "command": [
              "sh",
            ],
            "devices": [],
            "env": [
              {
                "name": "A",
                "value": "b",
              },
            ],
            "image": "oci:/srv/busybox:latest",
            "name": "web",
            "rlimits": [],
            "securityContext": {
              "capabilities": {
                "add": [
                  "CAP_NET_ADMIN",
                ],
                "ambient": [
                  "CAP_NET_ADMIN",
                ],
                "ambientMode": "AMBIENT_MODE_LIST",
                "drop": [
                  "CAP_KILL",
                ],
              },
              "runAsGroup": "0",
              "runAsUser": "1000",
            },
            "volumeMounts": [],
            "workingDir": "/tmp",
          },
        ],
        "hostAliases": [],
        "hostname": "",
        "requireEnforcement": false,
        "restartPolicy": "RESTART_POLICY_NEVER",
        "runtimeClassName": "runsc",
        "securityContext": {
          "supplementalGroups": [],
          "supplementalGroupsPolicy": "SUPPLEMENTAL_GROUPS_POLICY_MERGE",
          "sysctls": [],
        },
        "volumes": [],
      },
      "status": {
        "containers": [
          {
            "exitCode": 0,
            "finishedAt": "2026-11-21T10:00:02Z",
            "id": "00000000000000000000000000000f00",
            "image": "oci:/srv/busybox:latest",
            "imageDigest": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
            "name": "web",
            "reason": "Completed",
            "restartCount": 0,
            "startedAt": "2026-11-21T10:00:01Z",
            "state": "CONTAINER_STATE_EXITED",
          },
        ],
        "enforcement": [
          {
            "container": "web",
            "enforced": true,
            "mechanism": "bounding set",
            "note": "",
            "property": "securityContext.capabilities.add",
            "requested": "CAP_NET_ADMIN",
          },
        ],
        "finishedAt": "2026-11-21T10:00:03Z",
        "message": "every app ended",
        "pause": {
          "id": "00000000000000000000000000000000",
          "image": "",
          "imageDigest": "",
          "name": "pause",
          "reason": "",
          "restartCount": 0,
          "startedAt": "2026-11-21T10:00:00.500Z",
          "state": "CONTAINER_STATE_RUNNING",
        },
        "reason": "Completed",
        "runtime": {
          "adapter": "runsc",
          "binaryDigest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
          "className": "runsc",
          "platform": "systrap",
          "version": "release-20260905.0",
        },
        "stages": [
          {
            "duration": "0.012500s",
            "name": "image",
          },
        ],
        "startedAt": "2026-11-21T10:00:01Z",
        "state": "SANDBOX_STATE_RUNNING",
        "volumes": [],
        "warnings": [
          "container web: added capabilities are not effective for uid 1000 after exec",
        ],
      },
    }
  `);
});

test("an exit code of 0 is printed, one that nobody knows is not there", () => {
  const record = recordOf(REQUEST, "0".repeat(32));
  const json = (): unknown => JSON.parse(JSON.stringify(messageJson(SandboxSchema, sandboxMessage(record))));
  expect(json()).toMatchObject({ status: { containers: [{ exitCode: 0 }] } });
  const [app] = record.containers;
  delete app?.exitCode;
  expect(JSON.stringify(json())).not.toContain("exitCode");
});

test("times keep nine digits and any zone; what is no time is left out", () => {
  expect(timestampOf("2026-11-21T11:00:00.000000001+01:00")).toMatchObject({
    seconds: BigInt(Date.UTC(2026, 10, 21, 10) / 1000),
    nanos: 1,
  });
  expect(timestampOf("1969-12-31T23:59:59.5Z")).toMatchObject({ seconds: -1n, nanos: 500_000_000 });
  for (const text of ["", "yesterday", "2026-11-21", "2026-11-21T10:00:00.1234567890Z", "2026-13-41T10:00:00Z"])
    expect(timestampOf(text), text).toBeUndefined();
  expect(durationOf(1500.5)).toMatchObject({ seconds: 1n, nanos: 500_500_000 });
  expect(durationOf(0)).toMatchObject({ seconds: 0n, nanos: 0 });
});
