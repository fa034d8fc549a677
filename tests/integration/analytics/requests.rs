//! The client's requests: tokens, pages, refusals, and the hosts that they go to.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use loopback::{Arrival, Request, answer, forward};
use serde_json::{Value, json};
use tests::{ExportJob, Stack, job::JobList, organization::export_of, rollup::HEADER, stack::variable};
use uuid::Uuid;

use super::{Command, Folder, only_job, run};

#[tokio::test]
async fn a_command_gives_a_fresh_token_when_one_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut claims = stack.issuer.claims("u", &[org.id], "admin");
    claims["exp"] = json!(Timestamp::now().as_second() - 600);
    let old = stack.issuer.sign(&claims);
    let folder = Folder::new();
    std::fs::write(folder.path("1"), &old).unwrap();
    std::fs::write(folder.path("2"), &org.token).unwrap();
    let path = folder.path("");
    // The first call prints the old token, each later one the new token.
    let command = format!("cat {path}1 2>/dev/null && rm {path}1 || cat {path}2; echo x >> {path}calls");
    let done = Command::of(&org)
        .with("ANALYTICS_TOKEN", "")
        .with("ANALYTICS_TOKEN_COMMAND", &command)
        .run("export create --month 2024-01 --wait")
        .await;
    assert!(!done.err.contains(&old), "{}", done.err);
    done.expect(0);
    assert_eq!(std::fs::read_to_string(folder.path("calls")).unwrap(), "x\nx\n", "one call and one for a fresh token");

    let file = Command::of(&org).with("ANALYTICS_TOKEN", "").with("ANALYTICS_TOKEN_FILE", folder.path("2"));
    file.run("export list").await.expect(0);
    // Without a command the token stays refused.
    let refused = Command::of(&org).with("ANALYTICS_TOKEN", &old).run("export list").await;
    assert!(refused.err.contains("The token is not valid"), "{}", refused.err);
    assert!(!refused.err.contains(&old), "{}", refused.err);
    refused.expect(1);
}

#[tokio::test]
async fn a_list_has_all_pages_up_to_the_limit() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let mut ids = Vec::new();
    for _ in 0..101 {
        ids.insert(0, org.add_unqueued().await.id().uuid());
    }
    assert_eq!(run(&org, "export list --json").await.json::<JobList>().ids(), ids);
    let done = run(&org, "export list --limit 100 --json").await;
    assert!(done.err.contains("there are more"), "{}", done.err);
    assert_eq!(done.json::<JobList>().ids(), ids[..100]);
    let failed: JobList = run(&org, "export list --status failed --json").await.json();
    assert_eq!(failed.items, []);
    let table = run(&org, "export list --status pending --limit 3").await.expect(0);
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[tokio::test]
async fn a_refusal_is_told_as_the_api_explains_it() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let models: Vec<String> = (0..501).map(|_| format!("--model {}", Uuid::new_v4())).collect();
    let refused = run(&org, &format!("export create --month 2024-01 {}", models.join(" "))).await;
    assert!(refused.err.contains("The request is not valid"), "{}", refused.err);
    assert!(refused.err.contains("\n  /models: must name at most 500 models"), "{}", refused.err);
    assert!(refused.err.contains("requestId: "), "{}", refused.err);
    refused.expect(1);
    let unknown = run(&org, &format!("export show {}", Uuid::now_v7())).await;
    assert!(unknown.err.contains("There is no such export job"), "{}", unknown.err);
    unknown.expect(1);
    for wrong in ["export create", "export create --month 2024-13", "usage --start 2024-01-01T00:00:00Z"] {
        assert_eq!(run(&org, wrong).await.status, Some(2), "{wrong}");
    }
    let plain = Command::of(&org).with("ANALYTICS_URL", "http://example.com").run("export list").await;
    assert!(plain.err.contains("use https"), "{}", plain.err);
    plain.expect(2);
}

fn january() -> Value {
    export_of("2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "daily")
}

/// The requests that a server got.
type Requests = Arc<Mutex<Vec<Request>>>;

/// Starts a server that records what it gets.
fn record(handle: impl Fn(Arrival) -> Option<Vec<u8>> + Send + Sync + 'static) -> (SocketAddr, Requests) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Requests::default();
    let got = Arc::clone(&requests);
    loopback::serve(listener, move |arrival| {
        got.lock().unwrap().push(arrival.request.clone());
        handle(arrival)
    });
    (address, requests)
}

/// The address of the API, for a relay.
fn api_address() -> SocketAddr {
    variable("API_URL").strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap()
}

/// Starts a relay of the API whose downloads lead to another store.
fn redirect(store: SocketAddr) -> (SocketAddr, Requests) {
    record(move |arrival| {
        let bytes = forward(&arrival.request, api_address()).ok()?;
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.split("\r\n").map(|line| {
            let is_location = line.to_ascii_lowercase().starts_with("location:");
            if is_location { format!("location: http://{store}/file") } else { line.to_owned() }
        });
        Some(lines.collect::<Vec<_>>().join("\r\n").into_bytes())
    })
}

#[tokio::test]
async fn the_token_goes_to_the_api_alone() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.export(&january()).await.job.job_id;
    let (store, at_store) = record(|_| Some(answer("404 Not Found", "")));
    let (api, at_api) = redirect(store);
    let folder = Folder::new();
    let command = format!("export download {job} --out {}", folder.path("january.csv"));
    Command::of(&org).with("ANALYTICS_URL", format!("http://{api}")).run(&command).await.expect(1);
    assert_eq!(folder.files(), [""; 0]);
    let bearer = format!("Bearer {}", org.token);
    let at_api = at_api.lock().unwrap();
    assert!(at_api.iter().all(|request| request.header("authorization") == Some(&bearer)), "{at_api:?}");
    let at_store = at_store.lock().unwrap();
    let [request] = at_store.as_slice() else { panic!("not one request: {at_store:?}") };
    assert!(request.headers.iter().all(|(_, value)| !String::from_utf8_lossy(value).contains(&org.token)));
    assert_eq!((request.header("authorization"), request.target.as_str()), (None, "/file"));
}

#[tokio::test]
async fn a_download_of_other_bytes_is_a_mismatch_and_is_not_kept() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = org.export(&january()).await.job.job_id;
    let line = format!("2024-01-01T00:00:00Z,{},,1,2,3,4.0000\n", org.id);
    for (body, told) in [
        (format!("{HEADER}{line}"), "different: checksum, rows, request_count"),
        ("<html>".to_owned(), "line 1 is not a line of an export's file"),
    ] {
        let (store, _) = record(move |_| Some(answer("200 OK", &body)));
        let (api, _) = redirect(store);
        let folder = Folder::new();
        let command = format!("export download {job} --out {}", folder.path("january.csv"));
        let done = Command::of(&org).with("ANALYTICS_URL", format!("http://{api}")).run(&command).await;
        assert!(done.err.contains(told), "{told}: {}", done.err);
        done.expect(4);
        assert_eq!(folder.files(), [""; 0], "{told}");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_job() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let lost = Arc::new(Mutex::new(2));
    let (api, requests) = record(move |arrival| {
        let answered = forward(&arrival.request, api_address()).ok();
        let mut lost = lost.lock().unwrap();
        *lost -= i32::from(*lost >= 0);
        match *lost {
            1 => None,
            0 => Some(answer("503 Service Unavailable", "")),
            _ => answered,
        }
    });
    let done = Command::of(&org)
        .with("ANALYTICS_URL", format!("http://{api}"))
        .run("export create --month 2024-01 --json")
        .await;
    assert_eq!(done.err.matches("trying again").count(), 2, "{}", done.err);
    let job: ExportJob = done.json();
    assert_eq!(only_job(&org).await, job.job_id);
    let requests = requests.lock().unwrap();
    let keys: Vec<Option<&str>> = requests.iter().map(|request| request.header("idempotency-key")).collect();
    assert!(keys.len() == 3 && keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}
