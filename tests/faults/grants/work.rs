//! The work of each function: all for which it needs a grant.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Event, Failure, Job, JobFilter, Month, OrgId, State};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    Answer, Browser, CiRun, Organization, Person, Rollup, Service, Table,
    bus::unpublish,
    ci_runs::{around, lately, unique},
    deliveries,
    lambda::invoke,
    poll::until,
    receiver,
    stack::variable,
};
use uuid::Uuid;

use super::SIGNER;
use crate::{
    buckets::scheduled,
    lambda::deliver_by_hand,
    process,
    scene::{Scene, daily, message},
};

/// The first year of the monthly exports here: no other test has usage of it.
const FIRST_YEAR: i32 = 1991;

/// What is there for the functions to work on.
pub(super) struct Work<'a> {
    scene: &'a Scene,
    /// One with a finished export of some models.
    exported: Organization<'a>,
    job: Uuid,
    /// Those to which the API, the worker and the sweep add jobs.
    /// A scheduled export, whose organization has a bucket.
    scheduled: Job,
    created: Organization<'a>,
    worked: Organization<'a>,
    swept: Organization<'a>,
    /// One with a webhook.
    told: Organization<'a>,
    /// One with a booked month.
    booked: Organization<'a>,
    /// Each has usage in a month of its own.
    monthly: RefCell<Vec<Organization<'a>>>,
    months: Cell<i32>,
    service: Service<'a>,
    /// The keys of two documents; of the first with its version.
    documents: [(String, Option<String>); 2],
    /// Jobs whose dead letters are to be taken.
    lost: RefCell<Vec<Uuid>>,
}

impl<'a> Work<'a> {
    pub(super) async fn of(scene: &'a Scene) -> Self {
        forget_runs(scene).await;
        let exported = scene.small().await;
        let mut request = daily();
        request["models"] = json!([Uuid::new_v4()]);
        let job = exported.export(&request).await.job.job_id;
        let booked = scene.stack.organization();
        book_last_month(&booked).await;
        let service = scene.stack.service();
        let [first, second] = ["first", "second"].map(|name| (service.key(name), service.document(name).to_string()));
        let version = service.put(&first.0, first.1).await;
        service.put(&second.0, second.1).await;
        service.wait("the runs are stored", |runs| runs.len() == 2).await;
        Self {
            scene,
            exported,
            job,
            scheduled: delivered(scene).await,
            created: scene.small().await,
            worked: scene.small().await,
            swept: scene.small().await,
            told: with_webhook(scene).await,
            booked,
            monthly: RefCell::default(),
            months: Cell::default(),
            service,
            documents: [(first.0, Some(version)), (second.0, None)],
            lost: RefCell::default(),
        }
    }

    /// Does everything for which a function, or the signer of links, needs a grant, and returns what failed. A new process
    /// does it: one of before may know secrets.
    pub(super) async fn try_out(&self, function: &str) -> Result<(), String> {
        if function == SIGNER {
            return self.download().await;
        }
        process::end_all(function).await;
        match function {
            "api" => self.request().await,
            "worker" => self.export().await,
            "monthly" => self.month().await,
            "sweep" => self.sweep().await,
            "deliver" => self.copy().await,
            "reconcile" => self.reconcile().await,
            "telemetry" => self.ingest().await,
            "notify" => self.notify().await,
            "retention" => self.retain().await,
            "refresh" | "migrate" => call(function, &json!({})).await.map(drop),
            other => panic!("{other} has no work here"),
        }
    }

    async fn request(&self) -> Result<(), String> {
        let org = &self.exported;
        expect("ready", 200, &self.scene.stack.api.get("/status/readyz", "").await)?;
        expect("create", 202, &self.created.post(&daily()).await)?;
        for (path, status) in [
            (String::new(), 200),
            ("?status=succeeded".to_owned(), 200),
            (format!("/{}", self.job), 200),
            (format!("/{}/download", self.job), 302),
            (format!("/{}/reconciliation?verify=file", self.job), 200),
            (format!("/{}/changes?against=current&level=day", self.job), 200),
            (format!("/{}/manifest/signature", self.job), 200),
        ] {
            expect(&path, status, &org.get(&path).await)?;
        }
        let hold = org.path(&format!("/{}/hold", self.job));
        let api = &self.scene.stack.api;
        let put = api.request(Method::PUT, &hold).bearer_auth(&org.token).json(&json!({"reason": "grants"}));
        expect("hold", 200, &Answer::to(put).await)?;
        let link = org.get(&format!("/{}/reconciliation?verify=file", self.job)).await;
        let delete = api.request(Method::DELETE, &format!("{hold}?reason=grants")).bearer_auth(&org.token);
        expect("release", 200, &Answer::to(delete).await)?;
        expect("the held file", 200, &link)?;
        let mut browser = Browser::new(&self.scene.stack);
        let signed_in = browser.try_to_sign_in(&Person::of(org.id, "platform-admin")).await;
        signed_in.map_err(|answer| format!("not signed in: {} {}", answer.status, answer.text()))?;
        expect("what is due", 200, &browser.get("/finance/platform").await)
    }

    async fn download(&self) -> Result<(), String> {
        let link = self.exported.link(self.job).await;
        expect("the link", 200, &Answer::to(self.scene.stack.api.get_url(&link)).await)
    }

    async fn export(&self) -> Result<(), String> {
        call("worker", &json!({"probe": true})).await?;
        // It returns what it cannot read, and says when it may come back.
        deliver_by_hand("{}", 1, Timestamp::now()).await;
        let job = self.worked.add_unqueued().await;
        let returned = deliver_by_hand(&message(self.worked.id, job.id().uuid()), 1, Timestamp::now()).await;
        if returned == 0 { Ok(()) } else { Err("the worker returned the message".to_owned()) }
    }

    /// Copies a scheduled file to a bucket, as if it were made again.
    async fn copy(&self) -> Result<(), String> {
        // It returns what it cannot read, and says when it may come back.
        let mut message = deliveries::message(&self.scheduled, 1);
        let body = message["Records"][0]["body"].as_str().unwrap_or_default().to_owned();
        message["Records"][0]["body"] = json!("{}");
        call("deliver", &message).await?;
        let mut event: Value = serde_json::from_str(&body).unwrap();
        event["detail"]["eventId"] = json!(Uuid::new_v4());
        message["Records"][0]["body"] = json!(event.to_string());
        let left = call("deliver", &message).await?;
        if left["batchItemFailures"] == json!([]) { Ok(()) } else { Err("the file was not copied".to_owned()) }
    }

    /// Creates a month's exports, and finds them the second time.
    async fn month(&self) -> Result<(), String> {
        let number = self.months.replace(self.months.get() + 1);
        let month = format!("{}-{:02}", FIRST_YEAR + number / 12, 1 + number % 12);
        let org = self.scene.stack.organization();
        org.insert(Table::Daily, &[Rollup::new(&format!("{month}-01T00:00:00Z"), None, [1, 2, 0], "0.5")]).await;
        self.monthly.borrow_mut().push(org);
        for count in ["created", "alreadyThere"] {
            let run = call("monthly", &json!({"month": month})).await?;
            if run[count] != 1 {
                return Err(run.to_string());
            }
        }
        Ok(())
    }

    /// Sends an unsent job, looks for the message of another, and fails one whose worker was lost.
    async fn sweep(&self) -> Result<(), String> {
        let org = &self.swept;
        let unsent = org.add_unsent().await;
        org.add_unqueued_until(Timestamp::now()).await;
        let lost = org.add_unqueued().await.id().uuid();
        self.scene.lose_worker(org, lost, 5, "2024-01-01T00:00:00Z".parse().unwrap()).await;
        self.lost.borrow_mut().push(lost);
        org.record(1).await;
        let event = self.finish(org).await;
        unpublish(&self.scene.stack, event).await;
        // The first run links the record, the second signs the head.
        chained(&call("sweep", &json!({})).await?)?;
        if !is_published(self.scene, event).await {
            return Err("the event was not published".to_owned());
        }
        org.next_day().await;
        chained(&call("sweep", &json!({})).await?)?;
        let job = self.scene.stack.jobs.get(OrgId::from(org.id), unsent.id()).await.unwrap();
        if !job.is_some_and(|job| matches!(job.state(), State::Pending { sent: true, .. })) {
            return Err("the unsent job was not sent".to_owned());
        }
        if self.take_dead_letter(lost).await { Ok(()) } else { Err("the failed job has no dead letter".to_owned()) }
    }

    /// Fails a job, and returns the id of its event.
    async fn finish(&self, org: &Organization<'_>) -> Uuid {
        let claimed = org.claim(&org.add_unqueued().await).await;
        let failed = claimed.fail(Failure::UsageInvalid, false, Timestamp::now());
        let job = self.scene.stack.jobs.finish(failed).await.expect("the claim holds");
        Event::of_end(&job)[0].id
    }

    /// Takes the dead letter of a job whose worker was lost; `false` if it does not come.
    async fn take_dead_letter(&self, job: Uuid) -> bool {
        let body = message(self.swept.id, job);
        for _ in 0..3 {
            // Ten at a time, past those that work which failed has left.
            for _ in 0..8 {
                if self.scene.stack.queue.take_dead_letter(&body).await.is_some() {
                    self.lost.borrow_mut().retain(|lost| *lost != job);
                    return true;
                }
            }
            // Those that it saw are hidden for a second.
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        false
    }

    async fn reconcile(&self) -> Result<(), String> {
        let report = call("reconcile", &json!({"organization": self.exported.id})).await?;
        if report["made"] != 1 {
            return Err(report.to_string());
        }
        // That of all months, and that of one organization with what it keeps of them.
        call("reconcile", &json!({})).await?;
        let report = call("reconcile", &json!({"organization": self.booked.id})).await?;
        if report["bookings"]["compared"] == 1 { Ok(()) } else { Err(report.to_string()) }
    }

    async fn ingest(&self) -> Result<(), String> {
        let record = |(key, version): &(String, Option<String>)| self.service.record(key, version.as_deref(), "FF");
        let records: Vec<Value> = self.documents.iter().map(record).collect();
        let answer = call("telemetry", &json!({"Records": records})).await?;
        if answer != json!({"batchItemFailures": []}) {
            return Err(answer.to_string());
        }
        let durations = [around(100.0, 40), around(150.0, 30)].concat();
        let runs = CiRun::series(&unique("slowed"), lately(70), &durations);
        self.scene.stack.database.insert_runs(&runs).await;
        let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        call("telemetry", &schedule).await.map(drop)
    }

    /// Tells of a new event by mail and to a webhook that does not take it.
    async fn notify(&self) -> Result<(), String> {
        let org = &self.told;
        let mut event: Value = serde_json::from_str(include_str!("../../../events/bus-export-succeeded.json")).unwrap();
        event["detail"]["orgId"] = json!(org.id);
        event["detail"]["eventId"] = json!(Uuid::new_v4());
        let path = format!("/{}", org.id);
        let before = receiver::requests(&path).len();
        receiver::will_answer(&path, [receiver::status("500 Internal Server Error")]);
        let record = json!({
            "messageId": "one", "receiptHandle": Uuid::new_v4(), "body": event.to_string(), "eventSource": "aws:sqs",
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1705312800412"},
        });
        call("notify", &json!({"Records": [record]})).await?;
        let came = receiver::requests(&path);
        if came.len() == before {
            return Err("the webhook got no request".to_owned());
        }
        let answer = self.scene.stack.api.get(&format!("/orgs/{}/deliveries", org.id), &org.token).await;
        if answer.status != 200 {
            return Err(answer.text());
        }
        let listed: Value = answer.json();
        let of_event = |kind: &str, state: &str| {
            let mut items = listed["items"].as_array().into_iter().flatten();
            items
                .any(|one| one["eventId"] == event["detail"]["eventId"] && one["kind"] == kind && one["state"] == state)
        };
        if of_event("mail", "delivered") && of_event("webhook", "pending") { Ok(()) } else { Err(listed.to_string()) }
    }

    /// Lets the retention get as far as the database, where it would drop what other tests need. It fails either way: the
    /// log says why.
    async fn retain(&self) -> Result<(), String> {
        const LOGIN: &str = "analytics_retention_login";
        let client = &self.scene.stack.database.client;
        client.batch_execute(&format!("alter role {LOGIN} nologin")).await.unwrap();
        let answer = call("retention", &json!({})).await;
        client.batch_execute(&format!("alter role {LOGIN} login")).await.unwrap();
        if answer.is_err() { Ok(()) } else { panic!("the retention ran without a login") }
    }

    /// Lets all jobs end, and checks what came of them.
    pub(super) async fn end(self) {
        let Self { scene, exported, created, worked, swept, monthly, .. } = &self;
        let monthly = monthly.take();
        let lost = self.lost.borrow().clone();
        for org in [exported, created, worked, swept].into_iter().chain(&monthly) {
            let jobs = scene.stack.jobs.list(org.id.into(), JobFilter::default(), 100, None).await.unwrap().jobs;
            // No sweep would send the message of some for a day.
            for job in jobs.iter().filter(|job| matches!(job.state(), State::Pending { .. })) {
                scene.stack.queue.send(&message(org.id, job.id().uuid())).await;
            }
        }
        // All but the one whose file has ended, and is of a model that has no usage.
        for org in [created, worked, swept].into_iter().chain(&monthly) {
            scene.end(org).await;
        }
        for job in lost {
            self.take_dead_letter(job).await;
        }
        until("the queue is empty", Duration::from_secs(30), async || {
            let all = scene.stack.queue.attributes(&scene.stack.queue.url).await;
            let mut counts = all.iter().filter(|(name, _)| name.as_str().starts_with("ApproximateNumber"));
            if counts.all(|(_, count)| count == "0") { Ok(()) } else { Err(all) }
        })
        .await;
    }
}

/// Deletes the runs of the last month, which another case may have made. Without one, the sweep asks since when there could
/// be runs.
async fn forget_runs(scene: &Scene) {
    let month = Month::last_complete(Timestamp::now());
    while let Some(run) = scene.stack.jobs.last_run(month).await.unwrap() {
        let delete = scene.stack.dynamodb.delete_item().table_name(variable("JOBS_TABLE"));
        let delete = delete.key("pk", AttributeValue::S(format!("MONTHLY#{month}")));
        delete.key("sk", AttributeValue::S(format!("RUN#{}", run.id))).send().await.expect("a run is deleted");
    }
}

/// Fails if a sweep failed at the chains of audit records.
fn chained(report: &Value) -> Result<(), String> {
    if report["chained"]["errors"] == 0 { Ok(()) } else { Err(report.to_string()) }
}

/// Creates an organization with a webhook.
async fn with_webhook(scene: &Scene) -> Organization<'_> {
    let org = scene.stack.organization();
    let path = format!("/orgs/{}/settings", org.id);
    let request = |method, path: &str| scene.stack.api.request(method, path).bearer_auth(&org.token);
    let webhook = json!({"url": format!("https://hooks.example.com/{}", org.id), "events": ["export.succeeded"]});
    let put = request(Method::PUT, &path).header("if-match", "\"0\"").json(&json!({"webhook": webhook}));
    Answer::to(put).await.expect(200);
    Answer::to(request(Method::POST, &format!("{path}/webhook/secret"))).await.expect(200);
    org
}

/// Reports whether an event is marked as published.
async fn is_published(scene: &Scene, event: Uuid) -> bool {
    let get = scene.stack.dynamodb.get_item().table_name(variable("JOBS_TABLE")).consistent_read(true);
    let get = get.key("pk", AttributeValue::S(format!("OUTBOX#{event}")));
    let item = get.key("sk", AttributeValue::S("EVENT".to_owned())).send().await.unwrap().item;
    item.is_some_and(|item| item.contains_key("published_at"))
}

/// Exports the last month, and books the file.
async fn book_last_month(org: &Organization<'_>) {
    let month = Month::last_complete(Timestamp::now());
    org.insert(Table::Daily, &[Rollup::new(&month.start().to_string(), None, [1, 2, 0], "0.5")]).await;
    let job = org.export(&json!({"period": month})).await.job.job_id;
    let path = format!("/orgs/{}/periods/{month}/booking", org.id);
    let request = org.stack.api.request(Method::PUT, &path).bearer_auth(&org.token);
    Answer::to(request.json(&json!({"jobId": job, "reference": "JE-1017"}))).await.expect(200);
}

/// Invokes a function by its short name.
async fn call(function: &str, event: &Value) -> Result<Value, String> {
    invoke(&variable(&format!("{}_FUNCTION", function.to_uppercase())), event).await
}

fn expect(what: &str, status: u16, answer: &Answer) -> Result<(), String> {
    if answer.status == status { Ok(()) } else { Err(format!("{what}: {} {}", answer.status, answer.text())) }
}

/// Makes a scheduled export of an organization with a bucket.
async fn delivered(scene: &Scene) -> Job {
    let org = scene.stack.organization();
    let bucket = deliveries::bucket(&scene.stack).await;
    deliveries::prove(&bucket, &org).await;
    deliveries::deliver_to(&org, &bucket.bucket).await;
    scheduled(&org, "1979-01").await
}
