//! 10,000 documents: put concurrently, and reingested.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io::Write as _,
    process::Stdio,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};
use tests::{Stack, poll::until, program::program};

const DOCUMENTS: usize = 10_000;
/// The emulator needs about a minute on two cores.
const TIMEOUT: Duration = Duration::from_secs(600);

#[tokio::test]
async fn ten_thousand_documents_are_each_stored_once() {
    let stack = Stack::from_env().await;
    let service = stack.service();
    let start = Instant::now();
    stream::iter(0..DOCUMENTS)
        .for_each_concurrent(32, async |number| {
            let name = format!("{number:05}");
            service.put(&service.key(&name), service.document(&name).to_string()).await;
        })
        .await;
    let put = start.elapsed();
    let count = "select count(*), count(distinct object_key), count(distinct object_version), count(distinct run_id)
                 from ci_runs where service = $1";
    let counts = async || -> [i64; 4] {
        let row = stack.database.client.query_one(count, &[&service.name]).await.unwrap();
        [row.get(0), row.get(1), row.get(2), row.get(3)]
    };
    let all = [i64::try_from(DOCUMENTS).unwrap(); 4];
    until("all are stored", TIMEOUT, async || {
        let found = counts().await;
        if found == all { Ok(()) } else { Err(found) }
    })
    .await;
    let stored = start.elapsed();
    // Nothing may follow: no second row, no rejection.
    assert_eq!(counts().await, all);
    let rejected = "select count(*) from ci_rejections where object_key like 'metrics/2025/11/08/' || $1 || '/%'";
    let rejected: i64 = stack.database.client.query_one(rejected, &[&service.name]).await.unwrap().get(0);
    assert_eq!(rejected, 0);
    let rate = per_second(DOCUMENTS, stored);
    say(&format!("{DOCUMENTS} documents put in {put:.1?}, all stored once after {stored:.1?}: {rate} per second"));

    stack.database.client.execute("delete from ci_runs where service = $1", &[&service.name]).await.unwrap();
    let start = Instant::now();
    let file = std::env::temp_dir().join(format!("{}.state", service.name));
    let command = || {
        let mut command = program("reingest");
        command.arg("--prefix").arg(service.key("").trim_end_matches(".json")).arg("--state").arg(&file);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    // Interrupted after the first saved position.
    let first = command();
    let pid = Pid::from_raw(first.id().cast_signed()).unwrap();
    until("a page is done", TIMEOUT, async || if file.exists() { Ok(()) } else { Err(()) }).await;
    kill_process(pid, Signal::INT).unwrap();
    let interrupted = first.wait_with_output().unwrap();
    assert_eq!(interrupted.status.code(), Some(130), "{interrupted:?}");
    let before = counts().await[0];
    assert!((1..all[0]).contains(&before), "{before} were stored before the interruption");
    let rest = command().wait_with_output().unwrap();
    assert!(rest.status.success(), "{rest:?}");
    assert_eq!(counts().await, all);
    let stored = start.elapsed();
    let rate = per_second(DOCUMENTS, stored);
    say(&format!("{DOCUMENTS} documents read again in {stored:.1?}, interrupted after {before}: {rate} per second"));
}

fn per_second(documents: usize, time: Duration) -> u128 {
    documents as u128 * 1000 / time.as_millis().max(1)
}

/// Writes past the test's capture, since the numbers are the result.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
