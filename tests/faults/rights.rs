//! The database's roles of the functions that read it: with any one of its rights taken away, a function says that
//! something failed. So none has more rights than it needs, and none fails in silence.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Answer, CiRun, Organization, Rollup, Service, Stack, Table,
    ci_runs::{around, lately, unique},
    lambda::invoke,
    organization::export_of,
    rights::rights,
    stack::variable,
};
use uuid::Uuid;

use crate::{
    case::{Case, case},
    scene::{Found, Scene},
};

pub(crate) const CASES: &[Case] =
    &[case!(rights_taken_away, "each right of a function's login is revoked and granted again", alone = true)];

/// What is there for the functions to read.
struct World<'a> {
    stack: &'a Stack,
    org: Organization<'a>,
    job: Uuid,
    /// One whose newest export is by the hour.
    hourly: Organization<'a>,
    service: Service<'a>,
    /// Two documents, of which the second cannot be read.
    documents: [(String, String); 2],
    /// A change of durations that was told.
    change: String,
    /// The first months of no other test.
    months: std::cell::Cell<i32>,
}

async fn rights_taken_away(scene: &Scene) -> Found {
    let stack = &scene.stack;
    let world = World::of(stack).await;
    let client = &stack.database.client;
    let mut count = 0;
    let mut unnoticed = Vec::new();
    for function in ["api", "worker", "monthly", "telemetry", "reconcile"] {
        world.try_out(function).await.unwrap_or_else(|error| panic!("{function} has all its rights: {error}"));
        for right in rights(client, &format!("analytics_{function}")).await {
            client.batch_execute(&right.revoke).await.unwrap();
            if world.try_out(function).await.is_ok() {
                unnoticed.push(right.revoke);
            }
            client.batch_execute(&right.grant).await.unwrap();
            count += 1;
        }
        world.try_out(function).await.unwrap_or_else(|error| panic!("{function} has its rights again: {error}"));
    }
    assert!(unnoticed.is_empty(), "nothing failed after {unnoticed:#?}");
    assert!(count > 30, "{count} rights");
    Found::default().note(format!("each of {count} was missed"))
}

impl<'a> World<'a> {
    async fn of(stack: &'a Stack) -> Self {
        let (org, hourly) = (stack.organization(), stack.organization());
        for org in [&org, &hourly] {
            let events = format!(
                "insert into usage_events (event_id, organization_id, occurred_at, input_tokens, output_tokens, status, cost_usd)
                 select gen_random_uuid(), '{}', timestamptz '2024-01-01' + n * interval '5 hours', 1, 2, 'success', 0.25
                 from generate_series(0, 9) n",
                org.id
            );
            stack.database.client.batch_execute(&events).await.unwrap();
        }
        invoke(&variable("REFRESH_FUNCTION"), &json!({})).await.unwrap();
        let job = org.export(&january("daily")).await.job.job_id;
        hourly.export(&january("hourly")).await;
        let service = stack.service();
        let mut documents = Vec::new();
        for (name, body) in [("run", service.document("run").to_string()), ("bad", "[]".to_owned())] {
            let key = service.key(name);
            let version = service.put(&key, body).await;
            documents.push((key, version));
        }
        service.wait("the run is stored", |runs| runs.len() == 1).await;
        service.rejection(&documents[1].0).await;
        // So that the API has names of tests to read.
        service.put(&service.tests_key("run"), service.tests_document("run").to_string()).await;
        service.wait_for_tests("the tests are stored", |runs| runs.len() == 1).await;
        let documents = documents.try_into().expect("two documents");
        let slowed = unique("slowed");
        stack.database.insert_runs(&slowdown(&slowed)).await;
        stack.look(&slowed).await;
        let change = stack.told(&slowed).await[0]["id"].as_str().expect("an id").to_owned();
        Self { stack, org, job, hourly, service, documents, change, months: std::cell::Cell::default() }
    }

    /// Does everything for which a function reads or writes the database, and returns what failed.
    async fn try_out(&self, function: &str) -> Result<(), String> {
        match function {
            "api" => self.read().await,
            "worker" => self.export().await,
            "monthly" => self.month().await,
            "reconcile" => self.reconcile().await,
            _ => {
                self.ingest().await?;
                self.look().await
            }
        }
    }

    async fn read(&self) -> Result<(), String> {
        let org = self.org.id;
        let range = "start=2024-01-01T00:00:00Z&end=2024-02-01T00:00:00Z";
        let paths = [
            format!("/orgs/{org}/exports/{}/reconciliation", self.job),
            format!("/orgs/{org}/usage?{range}&granularity=hourly"),
            format!("/orgs/{org}/usage?{range}&granularity=daily"),
            format!("/orgs/{org}/usage/troubles"),
        ];
        for path in paths {
            succeeded(&path, &self.stack.api.get(&path, &self.org.token).await)?;
        }
        let token = self.stack.issuer.token("ci-reader", &[], "analytics:ci:read analytics:ci:pii");
        for token in [self.stack.ci_token(), token] {
            for path in ["runs", "rejections", "trends", "regressions", "tests", "evidence?month=2025-11", "report"] {
                let path = format!("/ci/{path}");
                succeeded(&path, &self.stack.api.get(&path, &token).await)?;
            }
        }
        let path = format!("/ci/changes/{}", self.change);
        succeeded(&path, &self.stack.api.get(&path, &self.stack.ci_token()).await)?;
        let answer = self.stack.api.request(Method::PUT, &format!("{path}/acknowledgement"));
        let note = json!({"note": unique("note")});
        let answer = answer.bearer_auth(self.stack.ci_writer_token()).json(&note);
        succeeded("acknowledgement", &Answer::to(answer).await)?;
        // An answer of before is good for five seconds.
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        succeeded("readyz", &self.stack.api.get("/status/readyz", "").await)
    }

    async fn export(&self) -> Result<(), String> {
        for granularity in ["hourly", "daily"] {
            let job = self.org.create(&january(granularity)).await.job_id;
            let ended = self.org.ended(job).await;
            if ended.status != "succeeded" {
                return Err(ended.error.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Runs a month's exports as the schedule does, early, of an organization that has usage in that month alone.
    async fn month(&self) -> Result<(), String> {
        let number = self.months.replace(self.months.get() + 1);
        let (year, month) = (2001 + number / 11, 1 + number % 11);
        let rollup = Rollup::new(&format!("{year}-{month:02}-01T00:00:00Z"), None, [1, 2, 0], "0.5");
        self.stack.organization().insert(Table::Daily, &[rollup]).await;
        let event =
            json!({"source": "aws.events", "time": format!("{year}-{:02}-01T03:00:00Z", month + 1), "detail": {}});
        let run = invoke(&variable("MONTHLY_FUNCTION"), &event).await?;
        if run["created"] == 1 { Ok(()) } else { Err(run.to_string()) }
    }

    async fn reconcile(&self) -> Result<(), String> {
        for org in [&self.org, &self.hourly] {
            let report = invoke(&variable("RECONCILE_FUNCTION"), &json!({"organization": org.id})).await?;
            if (&report["made"], &report["mismatches"], &report["explained"]) != (&json!(1), &json!(0), &json!(0)) {
                return Err(report.to_string());
            }
        }
        Ok(())
    }

    async fn ingest(&self) -> Result<(), String> {
        let [(key, _), bad] = &self.documents;
        // Of another run each time, in the place of the last one's.
        let mut document = self.service.document("run");
        document["command"] = Uuid::new_v4().to_string().into();
        let version = self.service.put(key, document.to_string()).await;
        let good = &(key.clone(), version);
        let key = self.service.tests_key("run");
        let version = self.service.put(&key, self.service.tests_document("run").to_string()).await;
        let tests = &(key, version);
        let records: Vec<Value> =
            [good, bad, tests].map(|(key, version)| self.service.record(key, Some(version), "FF")).to_vec();
        let answer = invoke(&variable("TELEMETRY_FUNCTION"), &json!({"Records": records})).await?;
        if answer == json!({"batchItemFailures": []}) { Ok(()) } else { Err(answer.to_string()) }
    }

    /// Looks at a series that became slower, and again when it has more runs.
    async fn look(&self) -> Result<(), String> {
        let runs = slowdown(&unique("slowed"));
        for part in [&runs[..60], &runs[60..]] {
            self.stack.database.insert_runs(part).await;
            let event = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
            invoke(&variable("TELEMETRY_FUNCTION"), &event).await?;
        }
        Ok(())
    }
}

fn slowdown(service: &str) -> Vec<CiRun> {
    CiRun::series(service, lately(70), &[around(100.0, 40), around(150.0, 30)].concat())
}

fn january(granularity: &str) -> Value {
    export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", granularity)
}

fn succeeded(path: &str, answer: &tests::Answer) -> Result<(), String> {
    if answer.status == 200 { Ok(()) } else { Err(format!("{path}: {} {}", answer.status, answer.text())) }
}
