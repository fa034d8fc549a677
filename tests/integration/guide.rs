//! The examples of the users' guide, verbatim, with the answers that it shows.

use std::process::Command;

use reqwest::{Method, Url};
use serde_json::{Value, json};
use tests::{Answer, CsvFile, Organization, Rollup, Stack, Table, api::BASE};
use uuid::Uuid;

const CREATE: &str = r#"{
    "timeRange": {
      "start": "2024-01-01T00:00:00Z",
      "end": "2024-01-31T23:59:59Z"
    },
    "granularity": "daily"
  }"#;

const CREATE_MONTHLY_EXPORT: &str = r#"{
    "timeRange": {
      "start": "2024-01-01T00:00:00Z",
      "end": "2024-02-01T00:00:00Z"
    },
    "granularity": "daily"
  }"#;

/// Inserts one model's usage of January, of the day before and of the day after.
async fn add_usage(org: &Organization<'_>) {
    let model = Some(Uuid::new_v4());
    let january = (1..=31).map(|day| format!("2024-01-{day:02}T00:00:00Z"));
    let days = ["2023-12-31T00:00:00Z".to_owned(), "2024-02-01T00:00:00Z".to_owned()].into_iter().chain(january);
    let rollups: Vec<Rollup> = days.map(|day| Rollup::new(&day, model, [1000, 100_000, 5], "10.5000")).collect();
    org.insert(Table::Daily, &rollups).await;
}

async fn post(org: &Organization<'_>, body: &'static str) -> Answer {
    let request = org.stack.api.request(Method::POST, &org.path("")).bearer_auth(&org.token);
    Answer::to(request.header("content-type", "application/json").body(body)).await
}

/// Returns the names of an object's fields.
fn fields(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Reports whether a value is an instant as `2024-01-15T10:00:00Z`: UTC, in whole seconds.
fn is_timestamp(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == 20 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

fn assert_is_january(bytes: &[u8]) {
    let days: Vec<String> = CsvFile::parse(bytes).rows.iter().map(|row| row.bucket_start.to_string()).collect();
    let january: Vec<String> = (1..=31).map(|day| format!("2024-01-{day:02}T00:00:00Z")).collect();
    assert_eq!(days, january);
}

#[tokio::test]
async fn the_session_of_the_guide_gives_the_answers_it_shows() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add_usage(&org).await;

    let created = post(&org, CREATE).await.expect(202);
    assert_eq!(created.header("content-type"), Some("application/json"));
    let job: Value = created.json();
    // The guide's six fields and, by the specification of a job, who asked, in which way, which version of
    // the month it is, and that the range is old.
    assert_eq!(
        fields(&job),
        [
            "createdAt",
            "granularity",
            "initiatedBy",
            "jobId",
            "orgId",
            "origin",
            "status",
            "timeRange",
            "version",
            "warnings"
        ]
    );
    let range = json!({"start": "2024-01-01T00:00:00Z", "end": "2024-01-31T23:59:59Z"});
    assert_eq!(job["orgId"], json!(org.id));
    assert_eq!(job["status"], "pending");
    assert_eq!(job["granularity"], "daily");
    assert_eq!(job["timeRange"], range);
    assert!(is_timestamp(&job["createdAt"]), "{job}");
    let id: Uuid = job["jobId"].as_str().unwrap().parse().unwrap();
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(created.header("location"), Some(format!("{BASE}{}", org.path(&format!("/{id}"))).as_str()));

    org.ended(id).await;
    let shown: Value = org.get(&format!("/{id}")).await.expect(200).json();
    assert_eq!(
        fields(&shown),
        [
            "checksum",
            "completedAt",
            "completeness",
            "createdAt",
            "expiresAt",
            "granularity",
            "initiatedBy",
            "jobId",
            "orgId",
            "origin",
            "outputUri",
            "rowCount",
            "status",
            "timeRange",
            "totals",
            "version",
            "warnings"
        ]
    );
    for same in ["jobId", "orgId", "granularity", "timeRange", "createdAt", "initiatedBy"] {
        assert_eq!(shown[same], job[same]);
    }
    // Nothing is known of rollups that another pipeline made.
    assert_eq!(shown["completeness"]["reasons"][0]["code"], "counted_elsewhere");
    assert_eq!(shown["warnings"][0], job["warnings"][0]);
    assert_eq!(shown["warnings"].as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(shown["status"], "succeeded");
    assert_eq!(shown["rowCount"], 31);
    assert_eq!(shown["initiatedBy"], json!(org.user));
    assert!(is_timestamp(&shown["completedAt"]) && is_timestamp(&shown["expiresAt"]), "{shown}");
    let expected =
        json!({"requestCount": 31_000, "tokensTotal": 3_100_000, "errorCount": 155, "costTotal": "325.5000"});
    assert_eq!(shown["totals"], expected);
    let checksum = shown["checksum"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert!(checksum.len() == 64 && checksum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));

    assert_eq!(org.get("").await.expect(200).json::<Value>(), json!({"items": [shown]}));
    assert_eq!(org.get("?status=succeeded").await.expect(200).json::<Value>(), json!({"items": [shown]}));
    assert_eq!(org.get("?status=failed").await.expect(200).json::<Value>(), json!({"items": []}));

    let download = org.get(&format!("/{id}/download")).await.expect(302);
    assert_eq!(download.header("cache-control"), Some("no-store"));
    let file = Answer::to(stack.api.get_url(download.header("location").unwrap())).await.expect(200);
    assert_is_january(&file.body);
}

#[tokio::test]
async fn the_monthly_example_gives_the_same_january() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add_usage(&org).await;
    let to_the_last_second = org.export(&serde_json::from_str(CREATE).unwrap()).await;
    let to_the_next_month = org.export(&serde_json::from_str(CREATE_MONTHLY_EXPORT).unwrap()).await;
    assert_is_january(&to_the_next_month.bytes);
    assert_eq!(to_the_last_second.bytes, to_the_next_month.bytes);
}

#[tokio::test]
async fn granularity_is_daily_unless_it_is_said() {
    let stack = Stack::from_env().await;
    let range = json!({"start": "2024-01-01T00:00:00Z", "end": "2024-01-02T00:00:00Z"});
    let job = stack.organization().create(&json!({"timeRange": range})).await;
    assert_eq!(job.granularity, "daily");
}

#[tokio::test]
async fn a_client_that_follows_the_redirect_takes_no_token_along() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    add_usage(&org).await;
    let id = org.ended(org.create(&serde_json::from_str(CREATE).unwrap()).await.job_id).await.job_id;
    let path = org.path(&format!("/{id}/download"));

    // Clients drop the header Authorization on the way to another origin, and only then.
    let link = Url::parse(&org.link(id).await).unwrap();
    assert_ne!(link.origin(), Url::parse(&stack.api.url("")).unwrap().origin());

    let client = reqwest::Client::new();
    let followed = Answer::to(client.get(stack.api.url(&path)).bearer_auth(&org.token)).await.expect(200);
    assert_is_january(&followed.body);
}

#[tokio::test]
async fn the_guides_commands_work_in_curl() {
    let stack = Stack::from_env().await;
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("there is no curl here; the same way through reqwest is tested beside this");
        return;
    }
    let org = stack.organization();
    add_usage(&org).await;
    let bearer = format!("Authorization: Bearer {}", org.token);
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl").args(["--silent", "--show-error", "--noproxy", "*"]).args(arguments).output();
        let output = output.unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{log}");
        (output.stdout, log)
    };

    let url = stack.api.url(&org.path(""));
    let json = "Content-Type: application/json";
    let (created, _) = curl(&["-X", "POST", &url, "-H", &bearer, "-H", json, "-d", CREATE]);
    let job: tests::ExportJob = serde_json::from_slice(&created).unwrap();
    org.ended(job.job_id).await;

    let (file, log) = curl(&["--verbose", "-L", &format!("{url}/{}/download", job.job_id), "-H", &bearer]);
    assert_is_january(&file);
    let sent = |header: &str| log.lines().filter(|line| line.to_ascii_lowercase().starts_with(header)).count();
    assert_eq!((sent("> get "), sent("> authorization:")), (2, 1), "two requests, one token: {log}");
}
