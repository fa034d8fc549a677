//! The results of 5,000 tests in 200 runs a day for 30 days: their size, and the time of reports on them, beside a table with
//! a row for each result.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::float_arithmetic, reason = "durations, no money")]

use std::{
    fmt::Write as _,
    io::{Cursor, Write as _},
    time::{Duration, Instant, SystemTime},
};

use ci::{
    ObjectVersion, Sequencer, TestRun,
    reports::{Filter, TEST_SETTINGS, TestResults},
    search::Searches,
    telemetry::store_tests,
    test_results::{Files, Outcome, TestName, TestResult, packed::Packed},
};
use futures_util::SinkExt as _;
use jiff::{SignedDuration, Timestamp};
use tests::UsageDatabase;
use tokio_postgres::Client;

const TESTS: u32 = 5000;
const RUNS: u32 = 200 * 30;
/// The runs that a report reads.
const READ: u32 = 1000;
/// The runs that are stored as the function stores them.
const STORED: u32 = 20;
const LONG: Duration = Duration::from_secs(120);

/// Returns the result of a test in a run: the same at every call. A hundred tests become slower at the last 300 runs.
fn result(test: u32, run: u32, random: &mut fastrand::Rng) -> TestResult {
    // Most tests take milliseconds, some take seconds.
    let base = 2.0 * 1.0016_f64.powi(test.cast_signed());
    let slower = if test.is_multiple_of(50) && test > 2500 && run >= RUNS - 300 { 1.5 } else { 1.0 };
    let milliseconds = (base * slower * (0.9 + 0.2 * random.f64())) as u32;
    let outcome = match random.u32(0..20_000) {
        0..10 => Outcome::Failed,
        10..12 => Outcome::Flaky,
        _ if test % 50 == 1 => Outcome::Skipped,
        _ => Outcome::Passed,
    };
    TestResult { outcome, milliseconds: Some(milliseconds) }
}

fn started_at(run: u32) -> Timestamp {
    "2025-11-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(432 * i64::from(run))
}

/// Makes the document of a run, as a recorder does.
fn test_run(run: u32, random: &mut fastrand::Rng) -> TestRun {
    let mut document = TestRun {
        run_id: format!("run-{run}"),
        service: "load".to_owned(),
        command: "make check".to_owned(),
        commit_sha: format!("{:040x}", run / 2),
        environment: "github-actions".to_owned(),
        collector_version: "1".to_owned(),
        started_at: started_at(run),
        modified: false,
        files: Files { read: 1, ..Files::default() },
        left_out: 0,
        results: ci::test_results::Results::default(),
    };
    for test in 0..TESTS {
        let suite = format!("com.example.shop.module{}.Suite{}Test", test / 200, test / 20);
        let name = format!("does_what_it_should_in_case_{test}");
        document.results.add(TestName { suite, name }, result(test, run, random));
    }
    document
}

async fn store(client: &Client, run: u32, random: &mut fastrand::Rng) -> usize {
    let document = test_run(run, random);
    let text = document.to_document().unwrap();
    let read = TestRun::from_document(text.as_bytes(), Timestamp::now()).unwrap();
    let object = ObjectVersion {
        key: format!("metrics/tests/2025/11/01/load/run-{run}.json"),
        version: None,
        etag: "tag".to_owned(),
        sha256: None,
        time: started_at(run),
        sequencer: Sequencer::default(),
    };
    store_tests(client, &read, &object).await.unwrap();
    text.len()
}

/// Adds a run's row as [`store_tests`] does, without looking up the names.
async fn add(client: &Client, run: u32, results: &[(u32, TestResult)]) {
    let packed = Packed::of(results.to_vec());
    let insert =
        "insert into ci_tests (object_key, object_etag, object_time, run_id, service, command, environment, commit_sha,
                      modified, started_at, collector_version, files_read, files_unreadable, files_older, files_other,
                      left_out, tests, test_ids, milliseconds, outcomes)
                  values ($1, 'tag', $2, $3, 'load', 'make check', 'github-actions', $4, false, $2, '1', 1, 0, 0, 0, 0,
                      $5, $6, $7, $8)";
    let (run_id, commit) = (format!("run-{run}"), format!("{:040x}", run / 2));
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(started_at(run).as_second().unsigned_abs());
    let key = format!("metrics/tests/2025/11/01/load/{run_id}.json");
    let Packed { ids, milliseconds, outcomes } = packed;
    let tests = i64::from(TESTS);
    client.execute(insert, &[&key, &at, &run_id, &commit, &tests, &ids, &milliseconds, &outcomes]).await.unwrap();
}

/// Adds the same results as rows, for comparison.
async fn add_rows(client: &Client, first: u32, all: &[Vec<(u32, TestResult)>]) {
    let table = "create table plain (run integer, started_at timestamptz, test integer, ms integer, outcome \"char\")";
    client.batch_execute(table).await.unwrap();
    let rows = client.copy_in("copy plain from stdin").await.unwrap();
    let mut rows = std::pin::pin!(rows);
    for (run, results) in (first..).zip(all) {
        let at = started_at(run);
        let mut text = String::new();
        for (test, TestResult { outcome, milliseconds }) in results {
            let letter = &outcome.name()[..1];
            writeln!(text, "{run}\t{at}\t{test}\t{}\t{letter}", milliseconds.unwrap()).unwrap();
        }
        rows.send(Cursor::new(text.into_bytes())).await.unwrap();
    }
    rows.finish().await.unwrap();
    // Each by itself: a vacuum runs in no transaction.
    for statement in ["create index on plain (test, started_at)", "vacuum analyze plain", "vacuum analyze ci_tests"] {
        client.batch_execute(statement).await.unwrap();
    }
}

async fn size(client: &Client, table: &str) -> u64 {
    let size = format!("select pg_total_relation_size('{table}')");
    client.query_one(&size, &[]).await.unwrap().get::<_, i64>(0).unsigned_abs()
}

/// Returns the shortest of three times of an action.
async fn time(mut action: impl AsyncFnMut()) -> Duration {
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        action().await;
        shortest = shortest.min(start.elapsed());
    }
    shortest
}

#[tokio::test]
async fn a_million_results_a_day_are_small_and_read_at_once() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let mut random = fastrand::Rng::with_seed(7);
    let bytes = store(&client, 0, &mut random).await;
    let start = Instant::now();
    for run in 1..STORED {
        store(&client, run, &mut random).await;
    }
    let stored = start.elapsed() / (STORED - 1);
    let ids = client.query("select id from ci_test_names order by id", &[]).await.unwrap();
    let ids: Vec<u32> = ids.iter().map(|row| row.get::<_, i32>(0).cast_unsigned()).collect();
    assert_eq!(ids.len(), TESTS as usize);
    let mut newest = Vec::new();
    for run in STORED..RUNS {
        let results: Vec<_> = ids.iter().zip(0..).map(|(id, test)| (*id, result(test, run, &mut random))).collect();
        add(&client, run, &results).await;
        if run >= RUNS - READ {
            newest.push(results);
        }
    }
    add_rows(&client, RUNS - READ, &newest).await;
    drop(newest);

    let packed = (size(&client, "ci_tests").await + size(&client, "ci_test_names").await) / u64::from(RUNS);
    let plain = size(&client, "plain").await / u64::from(READ);
    say(&format!("a document of {TESTS} tests has {} kB and is stored in {stored:.0?}", bytes / 1000));
    let month = |run: u64| run * u64::from(RUNS) / 1_000_000;
    let ratio = plain / packed;
    say(&format!(
        "packed: {packed} bytes a run, {} MB in 30 days; rows: {plain}, {}: {ratio} times",
        month(packed),
        month(plain)
    ));

    client.batch_execute("set max_parallel_workers_per_gather = 0; set work_mem = '64MB'").await.unwrap();
    let sql = async |statement: &str| time(async || drop(client.query(statement, &[]).await.unwrap())).await;
    let scan = sql("select count(*), sum(ms) from plain").await;
    let percentiles = sql("select test, percentile_disc(array[0.5, 0.95]) within group (order by ms) from plain
                           where outcome = 'p' group by test order by 2 desc limit 50")
    .await;
    let filter = Filter { service: Some("load".to_owned()), ..Filter::default() };
    let reading = time(async || drop(TestResults::read(&client, &filter, LONG).await.unwrap())).await;
    let results = TestResults::read(&client, &filter, LONG).await.unwrap();
    assert_eq!(
        (results.scope.runs, results.scope.runs_left_out),
        (u64::from(READ), u64::from(RUNS - READ)),
        "the newest"
    );
    let slowest = time(async || drop(results.slowest(&client, 50, LONG).await.unwrap())).await;
    let flaky = time(async || drop(results.flaky(&client, 50, LONG).await.unwrap())).await;
    let start = Instant::now();
    let searches = Searches::default();
    let found = results
        .slower(&client, &TEST_SETTINGS, &mut searches.begin(), || start.elapsed() > LONG, 100, LONG)
        .await
        .unwrap();
    let slower = start.elapsed();
    for (what, took) in [
        ("scan of the rows of 1,000 runs", scan),
        ("percentiles of them in SQL", percentiles),
        ("reading of the same runs packed", reading),
        ("slowest", slowest),
        ("flaky", flaky),
        ("slower, with all changes searched", slower),
    ] {
        say(&format!("{what}: {took:.0?}, {:.2} of the scan", took.as_secs_f64() / scan.as_secs_f64()));
    }
    say(&format!("{} tests searched, {} slowdowns", found.searched, found.list.tests.len()));
    assert!(ratio >= 20, "rows take {plain} bytes and packed results {packed}");
    // Of the 50 that became slower, eight did so by less than the tenth of a second that counts.
    assert!((40..=44).contains(&found.list.tests.len()), "{found:?}");
    drop(client);
    database.drop().await;
}

/// Writes past the test's capture, since the numbers are the result.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
