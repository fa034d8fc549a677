// Plays create, wait, download, reconcile and usage with the types that were generated from the OpenAPI document.
//
//     API_URL=… TOKEN=… ORGANIZATION=… node flow.ts

import { createHash, randomUUID } from "node:crypto";
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { setTimeout } from "node:timers/promises";

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.d.ts";

type Job = components["schemas"]["Job"];

const START = "2024-01-01T00:00:00Z";
const END = "2024-02-01T00:00:00Z";
const WAIT_MS = 120_000;

const { API_URL, TOKEN, ORGANIZATION } = process.env;
ok(API_URL && TOKEN && ORGANIZATION, "API_URL, TOKEN and ORGANIZATION are set");
const client = createClient<paths>({ baseUrl: API_URL, headers: { Authorization: `Bearer ${TOKEN}` } });
const ofOrganization = { orgId: ORGANIZATION };

const created = await client.POST("/analytics/v1/orgs/{orgId}/exports", {
  params: { path: ofOrganization, header: { "Idempotency-Key": randomUUID() } },
  body: { timeRange: { start: START, end: END }, granularity: "daily" },
});
strictEqual(created.response.status, 202, JSON.stringify(created.error));
let job: Job = present(created.data);
const end = Date.now() + WAIT_MS;
const path = { ...ofOrganization, jobId: job.jobId };
while (job.status === "pending" || job.status === "running") {
  ok(Date.now() < end, "the job does not end");
  await setTimeout(200);
  job = present((await client.GET("/analytics/v1/orgs/{orgId}/exports/{jobId}", { params: { path } })).data);
}
strictEqual(job.status, "succeeded", JSON.stringify(job));

const redirect = await client.GET("/analytics/v1/orgs/{orgId}/exports/{jobId}/download", {
  params: { path },
  redirect: "manual",
});
strictEqual(redirect.response.status, 302);
const file = await fetch(present(redirect.response.headers.get("location")));
ok(file.ok, `the store answers ${file.status}`);
const bytes = Buffer.from(await file.arrayBuffer());
strictEqual(job.checksum, `sha256:${createHash("sha256").update(bytes).digest("hex")}`);
strictEqual(job.rowCount, bytes.toString().trimEnd().split("\n").length - 1);

const found = await client.GET("/analytics/v1/orgs/{orgId}/exports/{jobId}/reconciliation", {
  params: { path, query: { tolerancePercent: 0 } },
});
strictEqual(found.data?.status, "reconciled", JSON.stringify(found));
const usage = await client.GET("/analytics/v1/orgs/{orgId}/usage", {
  params: { path: ofOrganization, query: { start: START, end: END } },
});
deepStrictEqual(usage.data?.totals, job.totals);
const jobs = await client.GET("/analytics/v1/orgs/{orgId}/exports", {
  params: { path: ofOrganization, query: { status: "succeeded" } },
});
ok(jobs.data?.items.some((listed) => listed.jobId === job.jobId), "the list has the job");
const refused = await client.POST("/analytics/v1/orgs/{orgId}/exports", {
  params: { path: { orgId: randomUUID() } },
  body: { timeRange: { start: START, end: END } },
});
strictEqual(refused.response.status, 403);
ok(refused.error?.title, "a problem has a title");
console.log(`the generated client exported ${job.rowCount} rows and reconciled them`);

/** Returns a value that the answer must have. */
function present<T>(value: T | null | undefined): T {
  ok(value !== null && value !== undefined, "the answer has a value");
  return value;
}
