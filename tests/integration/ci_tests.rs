//! Results of single tests: from their documents to rows and reports.

use ci::{
    ObjectVersion, TestRun,
    telemetry::{Stored, s3, store_tests},
    test_results::{Files, Outcome, Results, TestName, TestResult},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{Service, Stack, UsageDatabase, ci_runs::unique, rollup::instant, usage::PERIODS};
use tokio_postgres::Client;
use usage::maintenance::retention::retention;

const LONG: std::time::Duration = std::time::Duration::from_secs(120);

/// Returns a run with these results: suite, name, outcome and milliseconds.
fn run(service: &str, id: &str, commit: &str, at: Timestamp, tests: &[(&str, &str, Outcome, u32)]) -> TestRun {
    let mut results = Results::default();
    for (suite, name, outcome, milliseconds) in tests {
        let test = TestName { suite: (*suite).to_owned(), name: (*name).to_owned() };
        results.add(test, TestResult { outcome: *outcome, milliseconds: Some(*milliseconds) });
    }
    TestRun {
        run_id: id.to_owned(),
        service: service.to_owned(),
        command: "make check".to_owned(),
        commit_sha: commit.to_owned(),
        environment: "github-actions".to_owned(),
        collector_version: "1".to_owned(),
        started_at: at,
        modified: false,
        files: Files { read: 1, ..Files::default() },
        left_out: 0,
        results,
    }
}

fn object(key: &str, version: &str, second: i64, sequencer: &str) -> ObjectVersion {
    ObjectVersion {
        key: key.to_owned(),
        version: Some(version.to_owned()),
        etag: version.to_owned(),
        time: Timestamp::from_second(1_762_614_000 + second).unwrap(),
        sequencer: s3::sequencer(sequencer),
        sha256: None,
    }
}

async fn store(client: &Client, run: &TestRun) {
    let key = format!("metrics/tests/2025/11/08/{}/{}.json", run.service, run.run_id);
    store_tests(client, run, &object(&key, "v1", 0, "")).await.unwrap();
}

async fn report(stack: &Stack, query: &str) -> Value {
    stack.ci(&format!("tests?{query}")).await.expect(200).json()
}

#[tokio::test]
async fn a_document_becomes_a_row_that_the_newest_version_replaces() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let key = service.tests_key("run");
    let mut document = service.tests_document("run");
    let first = service.put(&key, document.to_string()).await;
    let rows = service.wait_for_tests("it is stored", |rows| rows.len() == 1).await;
    assert_eq!((rows[0].run_id.as_str(), rows[0].tests, rows[0].object_key == key), ("run", 2, true));
    assert_eq!(service.runs().await, [], "it is no run");
    // S3 tells times in seconds. Within one the events' sequencers decide, which the records below do not have.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    document["suites"] = json!([{"name": "cart", "tests": [{"name": "total", "ms": 15}]}]);
    document["files"]["unreadable"] = json!(1);
    let second = service.put(&key, document.to_string()).await;
    let is_second = |rows: &[tests::ci::TestsRow]| {
        rows.len() == 1 && rows[0].object_version.as_deref() == Some(second.as_str()) && rows[0].tests == 1
    };
    service.wait_for_tests("the second replaces it", is_second).await;
    // The first comes late, then the second again.
    for version in [&first, &second] {
        let records = json!({"Records": [service.record(&key, Some(version), "01")]});
        assert_eq!(Service::invoke(&records).await, json!({"batchItemFailures": []}));
        assert!(is_second(&service.tests().await));
    }
    let found = report(&stack, &format!("service={}", service.name)).await;
    let expected = json!({
        "runs": 1, "runsLeftOut": 0, "from": "2025-11-08T15:04:05Z", "to": "2025-11-08T15:04:05Z", "tests": 1,
        "unreadableFiles": 1, "resultsLeftOut": 0,
    });
    assert_eq!(found["scope"], expected);
    let test = json!({
        "service": service.name, "command": "make check", "environment": "github-actions", "suite": "cart", "name": "total",
        "runs": 1, "medianSeconds": 0.015, "p95Seconds": 0.015, "share": 1.0,
    });
    assert_eq!((&found["slowest"], &found["leftOut"]), (&json!([test]), &json!(0)));
    let page =
        stack.ci(&format!("report?service={}&from=2025-11-01&to=2025-11-30", service.name)).await.expect(200).text();
    for told in [
        "Of 1 tests in 1 runs, 2025-11-08 to 2025-11-08.",
        "cart · total",
        "0.015 s",
        "⚠ Files that could not be read: 1.",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
}

#[tokio::test]
async fn what_is_no_document_of_tests_is_rejected_with_the_reason() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let with = |name: &str, value: Value| {
        let mut document = service.tests_document("bad");
        document[name] = value;
        document.to_string()
    };
    for (body, reason) in [
        ("{".to_owned(), "must be JSON"),
        (service.document("bad").to_string(), "suites is missing"),
        (with("run_id", json!("other")), "run_id must be \"bad\""),
        (with("service", json!("other")), "service must be"),
        (with("suites", json!([{"name": "a", "tests": [{"name": ""}]}])), "test 1 of suite 1 must not be empty"),
        (with("suites", json!("x".repeat(2 << 20))), "at most 2097152 bytes long"),
    ] {
        let key = service.tests_key("bad");
        let version = service.put(&key, body).await;
        let records = json!({"Records": [service.record(&key, Some(&version), "01")]});
        assert_eq!(Service::invoke(&records).await, json!({"batchItemFailures": []}));
        let rejections = service.rejections(&key).await;
        let found = rejections.iter().find(|(_, rejected)| rejected.as_deref() == Some(version.as_str()));
        assert!(found.is_some_and(|(found, _)| found.contains(reason)), "{reason}: {rejections:?}");
    }
    // At the key of a run, it is none.
    let key = service.key("run");
    service.put(&key, service.tests_document("run").to_string()).await;
    assert!(service.rejection(&key).await.contains("status is missing"));
    assert_eq!((service.tests().await, service.runs().await), (vec![], vec![]));
}

#[tokio::test]
async fn rows_are_the_same_in_every_order_of_arrival() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let at = instant("2025-11-08T12:00:00Z");
    let tests = |count: usize| -> TestRun {
        let names: Vec<String> = (0..count).map(|number| format!("test-{number}")).collect();
        let tests: Vec<_> = names.iter().map(|name| ("s", name.as_str(), Outcome::Passed, 5)).collect();
        run("order", "r", "c", at, &tests)
    };
    let key = "metrics/tests/2025/11/08/order/r.json";
    let versions = [
        (tests(3), object(key, "v1", 0, "01")),
        (tests(5), object(key, "v2", 0, "02")),
        (tests(2), object(key, "v3", 1, "")),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        client.batch_execute("delete from ci_tests").await.unwrap();
        for place in order.into_iter().chain(order) {
            let (run, object) = &versions[place];
            store_tests(&client, run, object).await.unwrap();
        }
        let row = client.query_one("select object_version, tests from ci_tests", &[]).await.unwrap();
        assert_eq!((row.get::<_, &str>(0), row.get::<_, i64>(1)), ("v3", 2), "{order:?}");
        assert_eq!(store_tests(&client, &versions[2].0, &versions[2].1).await.unwrap(), Stored::Unchanged);
    }
    let names: i64 = client.query_one("select count(*) from ci_test_names", &[]).await.unwrap().get(0);
    assert_eq!(names, 5, "each name once");
    drop(client);
    database.drop().await;
}

#[tokio::test]
async fn concurrent_writers_of_new_names_end_and_agree() {
    let database = UsageDatabase::create().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(database.client().await);
    }
    let at = instant("2025-11-08T12:00:00Z");
    let names: Vec<String> = (0..500).map(|number| format!("test-{number}")).collect();
    for round in 0..5_i64 {
        // Each with names of its own and such of all, which also get a new last day in each round.
        let write = async |(writer, client): (usize, &postgres::Connection)| {
            let tests: Vec<_> =
                names.iter().skip(writer * 50).map(|name| ("s", name.as_str(), Outcome::Passed, 5)).collect();
            let at = at + SignedDuration::from_hours(24 * 10 * round);
            store(client, &run("many", &format!("r-{round}-{writer}"), "c", at, &tests)).await;
        };
        futures_util::future::join_all(clients.iter().enumerate().map(write)).await;
    }
    let row = "select (select count(*) from ci_test_names), (select count(*) from ci_tests), (select min(last_on)::text from ci_test_names
               where name >= 'test-2')";
    let row = clients[0].query_one(row, &[]).await.unwrap();
    let found = (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, &str>(2));
    assert_eq!(found, (500, 20, "2025-12-18"));
    drop(clients);
    database.drop().await;
}

#[tokio::test]
async fn reports_name_slow_flaky_and_slower_tests() {
    let stack = Stack::from_env().await;
    let client = &stack.database.client;
    let (service, start) = (unique("reports"), instant("2025-11-01T00:00:00Z"));
    for number in 0..60_u32 {
        let at = start + SignedDuration::from_hours(number.into());
        let noise = number * 7 % 5;
        let grown = if number < 40 { 1000 } else { 1500 };
        // Fails once on a commit of two runs; broken on others; repeated within run 50.
        let shaky = if number == 31 { Outcome::Failed } else { Outcome::Passed };
        let broken = if (20..24).contains(&number) { Outcome::Errored } else { Outcome::Passed };
        let repeated = if number == 50 { Outcome::Flaky } else { Outcome::Passed };
        let tests = [
            ("a", "steady", Outcome::Passed, 3000 + noise),
            ("a", "grown", Outcome::Passed, grown + 10 * noise),
            ("b", "shaky", shaky, 20),
            ("b", "broken", broken, 10),
            ("b", "repeated", repeated, 5),
            ("b", "off", Outcome::Skipped, 0),
        ];
        store(client, &run(&service, &format!("run-{number:02}"), &format!("sha-{:02}", number / 2), at, &tests)).await;
    }
    let names = |list: &Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|test| format!("{}/{}", test["suite"], test["name"]).replace('"', ""))
            .collect()
    };
    let slowest = report(&stack, &format!("service={service}&limit=2")).await;
    assert_eq!(names(&slowest["slowest"]), ["a/steady", "a/grown"]);
    assert_eq!(
        (&slowest["leftOut"], &slowest["scope"]["tests"], &slowest["scope"]["runs"]),
        (&json!(3), &json!(6), &json!(60))
    );
    assert_eq!((&slowest["slowest"][0]["medianSeconds"], &slowest["slowest"][0]["runs"]), (&json!(3.002), &json!(60)));
    assert_eq!(slowest["slowest"][1]["p95Seconds"], 1.54);

    let flaky = report(&stack, &format!("service={service}&view=flaky")).await;
    assert_eq!(names(&flaky["flaky"]), ["b/repeated", "b/shaky"]);
    let counts = ["runs", "failedRuns", "flakyRuns", "commits", "lastRunId", "lastCommitSha"];
    let counts = |test: &Value| counts.map(|name| test[name].clone());
    assert_eq!(counts(&flaky["flaky"][0]), [json!(60), json!(0), json!(1), json!(1), json!("run-50"), json!("sha-25")]);
    assert_eq!(counts(&flaky["flaky"][1]), [json!(60), json!(1), json!(0), json!(1), json!("run-31"), json!("sha-15")]);

    let slower = report(&stack, &format!("service={service}&view=slower")).await;
    assert_eq!(names(&slower["slower"]), ["a/grown"]);
    let change = &slower["slower"][0];
    assert_eq!((&change["firstRunId"], &change["firstCommitSha"]), (&json!("run-40"), &json!("sha-20")));
    assert_eq!((&change["beforeMedianSeconds"], &change["nowMedianSeconds"]), (&json!(1.02), &json!(1.52)));
    assert_eq!((&slower["searched"], &slower["notSearched"]), (&json!(1), &json!(0)));
    let strict = report(&stack, &format!("service={service}&view=slower&minPercent=60")).await;
    assert_eq!(strict["slower"], json!([]));

    let day = report(&stack, &format!("service={service}&from=2025-11-01&to=2025-11-01")).await;
    assert_eq!(day["scope"]["runs"], 24);
    let none = report(&stack, &format!("service={service}&environment=elsewhere&view=flaky")).await;
    assert_eq!((&none["flaky"], &none["scope"]["runs"], none["scope"].get("from")), (&json!([]), &json!(0), None));
    for wrong in ["view=fastest", "limit=0", "limit=1001", "minPercent=0", "cursor=x"] {
        stack.ci(&format!("tests?{wrong}")).await.problem(400, "invalid-request");
    }
}

#[tokio::test]
async fn of_documents_that_tell_of_one_run_the_newest_counts() {
    let stack = Stack::from_env().await;
    let client = &stack.database.client;
    let (service, at) = (unique("twice"), instant("2025-11-08T12:00:00Z"));
    for (folder, second, milliseconds) in [("07", 5, 700), ("08", 1, 800)] {
        let run = run(&service, "run", "c", at, &[("s", "t", Outcome::Passed, milliseconds)]);
        let key = format!("metrics/tests/2025/11/{folder}/{service}/run.json");
        store_tests(client, &run, &object(&key, "v", second, "")).await.unwrap();
    }
    let found = report(&stack, &format!("service={service}")).await;
    assert_eq!((&found["scope"]["runs"], &found["slowest"][0]["medianSeconds"]), (&json!(1), &json!(0.7)));
}

#[tokio::test]
async fn old_results_and_the_names_that_only_they_have_are_deleted() {
    let database = UsageDatabase::create().await;
    let mut client = database.client().await;
    let kept = ("s", "kept", Outcome::Passed, 1);
    for (id, at, tests) in [
        ("old", "2024-01-31T23:59:59Z", vec![("s", "gone", Outcome::Passed, 1), kept]),
        ("edge", "2024-02-01T00:00:00Z", vec![kept]),
        ("new", "2024-04-01T00:00:00Z", vec![kept, ("s", "new", Outcome::Passed, 1)]),
    ] {
        store(&client, &run("old", id, "c", instant(at), &tests)).await;
    }
    let left = async |client: &Client| -> (String, String) {
        let left = "select (select string_agg(run_id, ' ' order by started_at) from ci_tests),
                           (select string_agg(name, ' ' order by name) from ci_test_names)";
        let row = client.query_one(left, &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    let retained = async |client: &mut postgres::Connection, now: &str| {
        let report = retention(client, &mut [], instant(now), &PERIODS, LONG).await.unwrap();
        (report.test_runs_deleted, report.test_names_deleted)
    };
    // 90 days after the first of February 2024.
    assert_eq!(retained(&mut client, "2024-05-01T02:30:00Z").await, (1, 0));
    assert_eq!(left(&client).await, ("edge new".to_owned(), "gone kept new".to_owned()));
    // A week later also the name goes.
    assert_eq!(retained(&mut client, "2024-05-09T02:30:00Z").await, (1, 1));
    assert_eq!(left(&client).await, ("new".to_owned(), "kept new".to_owned()));
    // What comes late is deleted, and makes its name anew.
    store(&client, &run("old", "late", "c", instant("2024-01-01T00:00:00Z"), &[("s", "gone", Outcome::Failed, 1)]))
        .await;
    assert_eq!(retained(&mut client, "2024-05-09T02:30:00Z").await, (1, 1));
    drop(client);
    database.drop().await;
}
