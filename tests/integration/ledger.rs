//! The ledger: comparisons of files with amounts of the books, and the files that were booked.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use domain::{
    Comparison, ExportFile, Job, LedgerEntry, Retention, Subject, Totals, measures::NAMES, reconciliation::column_text,
};
use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::{Answer, ExportJob, Organization, Stack, organization::RETENTION};
use uuid::Uuid;

/// Days for which a file is kept.
const KEPT: u32 = 90;

/// Adds a finished job of January 2024 whose file has this cost and is kept for so many days; none expires at once.
async fn finished(org: &Organization<'_>, cost: &str, files_days: u32) -> Job {
    let claimed = org.claim(&org.add_unqueued().await).await;
    let file = ExportFile {
        software: None,
        tag: None,
        checksum: format!("sha256:{:064}", 0),
        bytes: 1,
        row_count: 1,
        totals: Totals { cost_total: cost.parse().unwrap(), ..Totals::default() },
        rounding_difference: None,
        completeness: None,
        days: None,
    };
    let retention = Retention { files_days, ..RETENTION };
    org.stack.jobs.finish(claimed.complete(file, Timestamp::now(), retention)).await.unwrap()
}

async fn compare(org: &Organization<'_>, job: impl ToString, body: &Value) -> Answer {
    let path = org.path(&format!("/{}/comparisons", job.to_string()));
    Answer::to(org.stack.api.request(Method::POST, &path).bearer_auth(&org.token).json(body)).await
}

fn amount(amount: &str, reference: &str) -> Value {
    json!({"amount": amount, "currency": "USD", "reference": reference})
}

fn booking_path(org: &Organization<'_>, period: &str) -> String {
    format!("/orgs/{}/periods/{period}/booking", org.id)
}

async fn book(org: &Organization<'_>, period: &str, job: impl ToString, reference: &str) -> Answer {
    let request = org.stack.api.request(Method::PUT, &booking_path(org, period)).bearer_auth(&org.token);
    Answer::to(request.json(&json!({"jobId": job.to_string(), "reference": reference}))).await
}

/// The records of one action in the organization's audit trail.
async fn records(org: &Organization<'_>, action: &str) -> Vec<Value> {
    let path = format!("/orgs/{}/audit?action={action}&limit=100", org.id);
    let trail: Value = org.stack.api.get(&path, &org.token).await.expect(200).json();
    trail["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_file_is_compared_exactly_and_the_comparison_is_kept() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = finished(&org, "538.9327", KEPT).await.id();
    let body = json!({"amount": "523.37", "currency": "USD", "reference": "JE-1017", "tolerancePercent": 1});
    let first: Value = compare(&org, job, &body).await.expect(201).json();
    let mut expected = json!({
        "jobId": job.to_string(), "comparedBy": org.user, "reference": "JE-1017", "amount": "523.37", "currency": "USD",
        "fileCost": "538.9327", "difference": "15.5627", "differencePercent": 2.973_556, "tolerancePercent": 1.0,
        "withinTolerance": false,
    });
    expected["comparedAt"] = first["comparedAt"].clone();
    assert_eq!(first, expected);
    assert!(first["comparedAt"].as_str().unwrap().parse::<Timestamp>().is_ok());

    // The same again, in another notation and with the default tolerance.
    let again: Value = compare(&org, job, &amount("523.3700", "JE-1017")).await.expect(200).json();
    assert_eq!(again, first);
    let nothing: Value = compare(&org, job, &amount("0", "JE-1018")).await.expect(201).json();
    assert_eq!((&nothing["differencePercent"], &nothing["withinTolerance"]), (&Value::Null, &json!(false)));
    let equal: Value = compare(&org, job, &amount("538.9327", "JE-1019")).await.expect(201).json();
    assert_eq!((&equal["difference"], &equal["withinTolerance"]), (&json!("0.0000"), &json!(true)));

    let reader = stack.issuer.token("auditor", &[org.id], "analytics:exports:read");
    let path = org.path(&format!("/{job}/comparisons"));
    let list: Value = stack.api.get(&path, &reader).await.expect(200).json();
    assert_eq!(list, json!({"items": [first, nothing, equal]}));
    let kept = records(&org, "compare").await;
    assert_eq!(kept.len(), 3, "one for each comparison, none for the repeated request: {kept:?}");
    for record in kept {
        assert_eq!((&record["subject"], &record["jobId"]), (&json!(org.user), &json!(job.to_string())));
        assert_eq!(record["operation"], "POST /analytics/v1/orgs/{orgId}/exports/{jobId}/comparisons");
    }

    let zero = finished(&org, "0", KEPT).await.id();
    let both: Value = compare(&org, zero, &amount("0.00", "JE-1020")).await.expect(201).json();
    assert_eq!((&both["differencePercent"], &both["withinTolerance"]), (&Value::Null, &json!(true)));
}

#[tokio::test]
async fn what_cannot_be_compared_is_refused() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = finished(&org, "538.9327", KEPT).await.id();
    for (body, pointer) in [
        (amount("523,37", "JE-1017"), "/amount"),
        (json!({"amount": 523.37, "currency": "USD", "reference": "JE-1017"}), "/amount"),
        (json!({"amount": "523.37", "currency": "EUR", "reference": "JE-1017"}), "/currency"),
        (json!({"amount": "523.37", "reference": "JE-1017"}), "/currency"),
        (amount("523.37", ""), "/reference"),
    ] {
        let problem = compare(&org, job, &body).await.problem(400, "invalid-request");
        assert_eq!(problem.errors[0].pointer, pointer, "{body}");
    }
    let unfinished = org.add_unqueued().await.id();
    let refused = compare(&org, unfinished, &amount("1", "JE-1")).await;
    refused.problem(404, "export-not-ready");
    assert_eq!(refused.header("retry-after"), Some("2"));
    compare(&org, Uuid::now_v7(), &amount("1", "JE-1")).await.problem(404, "no-such-job");
    // Of an expired file the sums stay known.
    let expired = finished(&org, "1", 0).await.id();
    assert_eq!(org.show(expired.uuid()).await.status, "expired");
    compare(&org, expired, &amount("1", "JE-1")).await.expect(201);

    let stranger = stack.organization();
    compare(&stranger, job, &amount("1", "JE-1")).await.problem(404, "no-such-job");
    let path = org.path(&format!("/{job}/comparisons"));
    stack.api.get(&path, &stranger.token).await.problem(403, "forbidden");
    let reader = stack.issuer.token("auditor", &[org.id], "analytics:exports:read analytics:audit:read");
    let write = stack.api.request(Method::POST, &path).bearer_auth(&reader).json(&amount("1", "JE-1"));
    let problem = Answer::to(write).await.problem(403, "forbidden");
    assert!(problem.detail.contains("analytics:ledger:write"), "{problem:?}");
}

#[tokio::test]
async fn a_job_has_at_most_a_hundred_comparisons() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = finished(&org, "1", KEPT).await.id();
    for number in 0..100 {
        compare(&org, job, &amount("1", &format!("JE-{number}"))).await.expect(201);
    }
    compare(&org, job, &amount("1", "JE-100")).await.problem(409, "ledger-full");
    // What is there is still found.
    compare(&org, job, &amount("1", "JE-99")).await.expect(200);
    let list: Value = org.get(&format!("/{job}/comparisons")).await.expect(200).json();
    let references: Vec<String> =
        list["items"].as_array().unwrap().iter().map(|item| item["reference"].as_str().unwrap().to_owned()).collect();
    assert_eq!(references, (0..100).map(|number| format!("JE-{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_booking_keeps_those_before_it() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let path = booking_path(&org, "2024-01");
    stack.api.get(&path, &org.token).await.problem(404, "no-booking");

    // The file of the first booking has expired.
    let first = finished(&org, "523.3700", 0).await.id();
    let booked: Value = book(&org, "2024-01", first, "JE-1017").await.expect(200).json();
    let current = &booked["current"];
    assert_eq!((&booked["orgId"], &booked["period"]), (&json!(org.id), &json!("2024-01")));
    assert_eq!((&current["version"], &current["reference"]), (&json!(1), &json!("JE-1017")));
    assert_eq!((&current["jobId"], &current["costTotal"]), (&json!(first.to_string()), &json!("523.3700")));
    assert_eq!((&current["bookedBy"], &booked["history"]), (&json!(org.user), &json!([])));
    assert_eq!(current["checksum"], format!("sha256:{:064}", 0));
    assert_eq!(book(&org, "2024-01", first, "JE-1017").await.expect(200).json::<Value>(), booked, "said again");

    let second = finished(&org, "538.9327", KEPT).await.id();
    let corrected: Value = book(&org, "2024-01", second, "JE-1044").await.expect(200).json();
    assert_eq!((&corrected["current"]["version"], &corrected["current"]["costTotal"]), (&json!(2), &json!("538.9327")));
    assert_eq!(corrected["history"], json!([current]), "the first version is as it was");
    // Back to the first file: a third version, not the first again.
    let third: Value = book(&org, "2024-01", first, "JE-1017").await.expect(200).json();
    assert_eq!(third["current"]["version"], 3);
    let versions: Vec<&Value> = third["history"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(versions, [&json!(2), &json!(1)]);

    let reader = stack.issuer.token("auditor", &[org.id], "analytics:exports:read");
    assert_eq!(stack.api.get(&path, &reader).await.expect(200).json::<Value>(), third);
    let kept = records(&org, "book").await;
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(kept.iter().all(|record| record["operation"] == "PUT /analytics/v1/orgs/{orgId}/periods/{period}/booking"));
}

#[tokio::test]
async fn only_a_file_of_the_whole_month_is_booked() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = finished(&org, "1", KEPT).await.id();
    let mistake = |answer: Answer| answer.problem(400, "invalid-request").errors[0].pointer.clone();
    assert_eq!(mistake(book(&org, "2024-02", job, "JE-1").await), "/jobId");
    assert_eq!(mistake(book(&org, "2024-1", job, "JE-1").await), "/path/period");
    assert_eq!(mistake(book(&org, "2024-01", "x", "JE-1").await), "/jobId");
    assert_eq!(mistake(book(&org, "2024-01", job, "").await), "/reference");
    let some: ExportJob = org.create(&json!({"period": "2024-01", "models": [Uuid::new_v4()]})).await;
    let some = org.ended(some.job_id).await.job_id;
    assert_eq!(mistake(book(&org, "2024-01", some, "JE-1").await), "/jobId");

    book(&org, "2024-01", org.add_unqueued().await.id(), "JE-1").await.problem(404, "export-not-ready");
    let stranger = stack.organization();
    book(&stranger, "2024-01", job, "JE-1").await.problem(404, "no-such-job");
    stack.api.get(&booking_path(&org, "2024-01"), &stranger.token).await.problem(403, "forbidden");
    stack.api.get(&booking_path(&org, "2024-01"), &org.token).await.problem(404, "no-booking");
}

#[tokio::test]
async fn bookings_at_the_same_moment_are_all_kept() {
    let stack = Stack::from_env().await;
    let org = stack.organization();
    let job = finished(&org, "1", KEPT).await.id();
    let answers =
        join_all((0..8).map(|number| book(&org, "2024-01", job, ["A", "B", "C", "D", "E", "F", "G", "H"][number])))
            .await;
    for answer in answers {
        answer.expect(200);
    }
    let all: Value = stack.api.get(&booking_path(&org, "2024-01"), &org.token).await.expect(200).json();
    let mut versions = vec![all["current"].clone()];
    versions.extend(all["history"].as_array().unwrap().clone());
    let numbers: Vec<u64> = versions.iter().map(|one| one["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=8).rev().collect::<Vec<_>>());
    let mut references: Vec<&str> = versions.iter().map(|one| one["reference"].as_str().unwrap()).collect();
    references.sort_unstable();
    assert_eq!(references, ["A", "B", "C", "D", "E", "F", "G", "H"]);
}

/// Prints difference, percentage and verdict for each line of cost, amount and tolerance.
const BY_PYTHON: &str = r#"
import sys
from decimal import Decimal, ROUND_HALF_UP, getcontext
getcontext().prec = 100
for line in sys.stdin:
    cost, amount, tolerance = map(Decimal, line.split())
    difference = cost - amount
    percent = "-"
    if amount:
        exact = 100 * difference / abs(amount)
        rounded = exact.quantize(Decimal("0.000001"), ROUND_HALF_UP)
        if difference and not rounded:
            rounded = Decimal("0.000001").copy_sign(difference)
        percent = format(rounded, "f").rstrip("0").rstrip(".")
        if not difference:
            percent = "0"
    within = abs(difference) * 100 <= tolerance * abs(amount)
    print(format(difference + 0, ".4f"), percent, "yes" if within else "no")
"#;

#[test]
fn comparisons_are_those_of_another_implementation_of_decimals() {
    const PAIRS: usize = 10_000;
    let mut random = fastrand::Rng::with_seed(1_017);
    let mut decimal = |digits: u32| {
        let size = 10_i64.pow(random.u32(1..=digits));
        let scale = random.u32(0..=4);
        Decimal::new(random.i64(-size..=size), scale).to_string()
    };
    let mut input = String::new();
    let mut found = Vec::new();
    for number in 0..PAIRS {
        let amount = decimal(15);
        // A third is near the amount, where tolerance and rounding decide.
        let cost = if number % 3 == 0 {
            let near = amount.parse::<Decimal>().unwrap() * decimal(4).parse::<Decimal>().unwrap().round_dp(0);
            (amount.parse::<Decimal>().unwrap() + near / Decimal::from(100_000)).round_dp(4).to_string()
        } else {
            decimal(18)
        };
        let tolerance = ["0", "0.5", "1", "2.25", "100", "0.000001"][number % 6];
        input.push_str(&format!("{cost} {amount} {tolerance}\n"));
        let comparison = Comparison {
            job: Uuid::nil().into(),
            entry: LedgerEntry {
                amount: amount.parse().unwrap(),
                reference: "JE-1017".parse().unwrap(),
                tolerance: tolerance.parse().unwrap(),
            },
            cost_total: cost.parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            subject: Subject::system("tests"),
        };
        let percent = comparison.percent().map_or("-".to_owned(), |percent| percent.to_string());
        let within = if comparison.is_within_tolerance() { "yes" } else { "no" };
        found.push(format!("{} {percent} {within}", column_text(NAMES.cost_total, comparison.difference())));
    }
    let mut python = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/bin/python"))
        .args(["-c", BY_PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let lines = input.clone();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let expected = String::from_utf8(output.stdout).unwrap();
    let within = expected.lines().filter(|line| line.ends_with("yes")).count();
    assert!((500..PAIRS - 500).contains(&within), "both verdicts occur: {within}");
    for ((pair, found), expected) in input.lines().zip(&found).zip(expected.lines()) {
        assert_eq!(found, expected, "{pair}");
    }
    assert_eq!(expected.lines().count(), PAIRS);
}
