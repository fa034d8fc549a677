//! The program as its users run it, on the stack's server and store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use aws_config::BehaviorVersion;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tests::{
    Event, UsageDatabase,
    rollup::instant,
    usage::{kept_events, send},
};
use uuid::Uuid;

const ORG: Uuid = Uuid::from_u128(1);

/// A folder of the test's own, removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Self {
        let path = std::env::temp_dir().join(format!("load-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    /// Starts the program here.
    fn start(&self, url: &str, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_load"))
            .args(arguments)
            .current_dir(&self.0)
            .env("DATABASE_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs the program here, with this on its standard input.
    fn load(&self, database: &UsageDatabase, arguments: &[&str], input: &str) -> Output {
        let mut child = self.start(&database.url(), arguments);
        // A program that wants none of it may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The sums that a load printed, without its time.
#[track_caller]
fn sums(output: &Output, status: i32) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{told}");
    let mut sums: Value = serde_json::from_slice(&output.stdout).expect(&told);
    sums.as_object_mut().unwrap().remove("milliseconds").expect("the time is told");
    sums
}

fn events(count: i64) -> Vec<Event> {
    let mut events: Vec<Event> = (0..count)
        .map(|index| Event {
            model_id: (index % 2 == 0).then_some(Uuid::from_u128(7)),
            cost: index - 5,
            status: "timeout".to_owned(),
            ..Event::at(ORG, instant("2026-01-31T23:59:00Z") + SignedDuration::from_micros(index * 1_234_567))
        })
        .collect();
    events.sort_by_key(|event| event.event_id);
    events
}

fn ndjson(events: &[Event]) -> String {
    let line = |event: &Event| {
        let cost = rust_decimal::Decimal::new(event.cost, 4).to_string();
        json!({
            "event_id": event.event_id, "organization_id": event.organization_id, "model_id": event.model_id,
            "occurred_at": event.occurred_at, "input_tokens": event.input_tokens,
            "output_tokens": event.output_tokens, "status": event.status, "cost_usd": cost,
        })
        .to_string()
            + "\n"
    };
    events.iter().map(line).collect()
}

fn csv(events: &[Event]) -> String {
    let mut text =
        "event_id,organization_id,model_id,occurred_at,input_tokens,output_tokens,status,cost_usd\n".to_owned();
    for event in events {
        let model = event.model_id.map(|model| model.to_string()).unwrap_or_default();
        let cost = rust_decimal::Decimal::new(event.cost, 4);
        let Event { event_id, organization_id, occurred_at, input_tokens, output_tokens, status, .. } = event;
        text += &format!(
            "{event_id},{organization_id},{model},{occurred_at},{input_tokens},{output_tokens},{status},{cost}\n"
        );
    }
    text
}

async fn assert_kept(database: &UsageDatabase, expected: &[Event]) {
    let mut kept = kept_events(&*database.client().await).await;
    // When it came is the database's to say.
    kept.iter_mut().for_each(|event| event.received_at = event.occurred_at);
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn files_are_loaded_once_whatever_their_form() {
    let database = UsageDatabase::create().await;
    let folder = Folder::create();
    let events = events(300);
    folder.write("a.ndjson", ndjson(&events[..100]).as_bytes());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(csv(&events[50..200]).as_bytes()).unwrap();
    folder.write("b.csv.gz", &gzip.finish().unwrap());
    let rest = ndjson(&events[200..]);
    // What standard input is, nobody can know.
    assert_eq!(folder.load(&database, &["a.ndjson", "-"], &rest).status.code(), Some(1));
    assert_kept(&database, &[]).await;

    let first = sums(&folder.load(&database, &["a.ndjson", "b.csv.gz"], ""), 0);
    let expected = json!({"files": 2, "lines": 250, "accepted": 200, "duplicates": 50, "refused": 0, "rejected": 0});
    assert_eq!(first, expected);
    let second = sums(&folder.load(&database, &["--format", "ndjson", "-", "a.ndjson"], &rest), 0);
    let expected = json!({"files": 2, "lines": 200, "accepted": 100, "duplicates": 100, "refused": 0, "rejected": 0});
    assert_eq!(second, expected);
    assert_kept(&database, &events).await;
    assert!(!folder.0.join("rejected.ndjson").exists());
    database.drop().await;
}

#[tokio::test]
async fn lines_that_are_no_events_are_set_apart() {
    let database = UsageDatabase::create().await;
    let folder = Folder::create();
    let events = events(2);
    let lines = ndjson(&events);
    let (first, second) = lines.split_once('\n').unwrap();
    let input = format!("{first}\n{{\"event_id\": 1}}\n\nnonsense\n{second}");
    let arguments = ["-", "--format", "ndjson", "--rejects", "bad.ndjson"];
    let output = folder.load(&database, &arguments, &input);
    let expected = json!({"files": 1, "lines": 4, "accepted": 2, "duplicates": 0, "refused": 0, "rejected": 2});
    assert_eq!(sums(&output, 2), expected);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("standard input, line 4 is not JSON of an event"), "{told}");
    let rejected = std::fs::read_to_string(folder.0.join("bad.ndjson")).unwrap();
    let rejected: Vec<Value> = rejected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&rejected[0]["line"], &rejected[1]["line"], rejected.len()), (&json!(2), &json!(4), 2));
    assert_eq!((&rejected[0]["text"], &rejected[1]["text"]), (&json!("{\"event_id\": 1}"), &json!("nonsense")));
    assert_kept(&database, &events).await;
    database.drop().await;
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_needs_no_database() {
    let database = UsageDatabase::create().await;
    let folder = Folder::create();
    let events = events(3);
    folder.write("a.jsonl", ndjson(&events).as_bytes());
    let output = folder.load(&database, &["a.jsonl", "--dry-run"], "");
    assert_eq!(sums(&output, 0)["lines"], 3);
    assert_kept(&database, &[]).await;
    database.drop().await;
}

#[tokio::test]
async fn a_prefix_of_a_bucket_is_all_its_objects() {
    let database = UsageDatabase::create().await;
    let folder = Folder::create();
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let config = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true).build();
    let (s3, bucket) = (aws_sdk_s3::Client::from_conf(config), format!("load-{}", Uuid::new_v4().simple()));
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    let events = events(90);
    for (key, some) in [("2026/01/a.ndjson", 0..30), ("2026/01/b+c d.csv", 30..60), ("2026/02/c.ndjson", 60..90)] {
        let text = if key.ends_with("csv") { csv(&events[some]) } else { ndjson(&events[some]) };
        s3.put_object().bucket(&bucket).key(key).body(text.into_bytes().into()).send().await.unwrap();
    }
    let output = folder.load(&database, &[&format!("s3://{bucket}/2026/01/")], "");
    assert_eq!(sums(&output, 0)["accepted"], 60);
    assert_kept(&database, &events[..60]).await;
    let none = folder.load(&database, &[&format!("s3://{bucket}/2027/")], "");
    assert!(String::from_utf8_lossy(&none.stderr).contains("there is no object below"), "{none:?}");
    database.drop().await;
}

#[tokio::test]
async fn what_is_older_than_events_are_kept_is_counted() {
    let database = UsageDatabase::create().await;
    let folder = Folder::create();
    let client = database.client().await;
    client.batch_execute("update usage_state set events_from = '2026-01-31T23:59:30Z'").await.unwrap();
    let events = events(100);
    let (old, kept): (Vec<Event>, Vec<Event>) =
        events.into_iter().partition(|event| event.occurred_at < instant("2026-01-31T23:59:30Z"));
    send(&client, &kept[..10]).await;
    let input = ndjson(&old) + &ndjson(&kept);
    let loaded = sums(&folder.load(&database, &["-", "--format", "ndjson"], &input), 0);
    assert_eq!(loaded["refused"], old.len());
    assert_eq!((&loaded["accepted"], &loaded["duplicates"]), (&json!(kept.len() - 10), &json!(10)));
    assert_kept(&database, &kept).await;
    database.drop().await;
}

#[tokio::test]
async fn of_lines_with_one_id_the_first_is_kept_every_time() {
    // With one organization ids decide who stores an event, and with many the organizations.
    for organizations in [1, 20] {
        let of = |event: Event| Event {
            organization_id: Uuid::from_u128(1 + event.event_id.as_u128() % organizations),
            ..event
        };
        let events: Vec<Event> = events(200).into_iter().map(of).collect();
        let changed: Vec<Event> = events.iter().map(|event| Event { cost: 4321, ..event.clone() }).collect();
        let input = ndjson(&events[..150]) + &ndjson(&changed) + &ndjson(&events);
        let mut first: Option<Value> = None;
        for _ in 0..3 {
            let database = UsageDatabase::create().await;
            let folder = Folder::create();
            let sums = sums(&folder.load(&database, &["-", "--format", "ndjson"], &input), 0);
            assert_eq!((&sums["accepted"], &sums["duplicates"]), (&json!(200), &json!(350)));
            assert_eq!(*first.get_or_insert_with(|| sums.clone()), sums);
            let mut expected = [&events[..150], &changed[150..]].concat();
            expected.sort_by_key(|event| event.event_id);
            assert_kept(&database, &expected).await;
            database.drop().await;
        }
    }
}

#[tokio::test]
async fn two_loads_of_the_same_file_at_once_store_each_event_once() {
    let database = UsageDatabase::create().await;
    let folder = Folder::create();
    let events = events(60_000);
    let (first, second) = events.split_at(30_000);
    folder.write("a.csv", csv(&events).as_bytes());
    folder.write("b.csv", (csv(second) + csv(first).split_once('\n').unwrap().1).as_bytes());
    let loads = ["a.csv", "b.csv"].map(|file| folder.start(&database.url(), &[file]));
    let loads = loads.map(|load| sums(&load.wait_with_output().unwrap(), 0));
    let sum = |name: &str| loads.iter().map(|sums| sums[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("accepted"), sum("duplicates")), (60_000, 60_000));
    assert_kept(&database, &events).await;
    database.drop().await;
}

#[tokio::test]
async fn a_load_needs_no_rights_but_to_execute_its_function() {
    let database = UsageDatabase::create().await;
    let client = database.client().await;
    let role = format!("loader_{}", Uuid::new_v4().simple());
    let rights = format!(
        "create role {role};
         grant execute on function usage_load(uuid[], uuid[], uuid[], timestamptz[], bigint[], bigint[], text[], numeric[])
         to {role}"
    );
    client.batch_execute(&rights).await.unwrap();
    let folder = Folder::create();
    let events = events(20);
    folder.write("a.ndjson", ndjson(&events).as_bytes());
    let url = format!("{}?options=-c%20role%3D{role}", database.url());
    let loaded = sums(&folder.start(&url, &["a.ndjson"]).wait_with_output().unwrap(), 0);
    assert_eq!(loaded["accepted"], 20);
    assert_kept(&database, &events).await;
    client.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
    database.drop().await;
}
