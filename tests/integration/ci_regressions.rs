//! Changes of durations: planted ones are found, and series that are too short are named.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{
    CiRun, Stack,
    ci_runs::{around, unique},
};

fn start() -> Timestamp {
    "2025-09-01T00:00:00Z".parse().unwrap()
}

fn step(service: &str, before: f64, after: f64) -> Vec<CiRun> {
    CiRun::series(service, start(), &[around(before, 40), around(after, 30)].concat())
}

#[tokio::test]
async fn a_planted_change_is_found_at_its_first_run() {
    let stack = Stack::from_env().await;
    let service = unique("planted");
    let mut runs = step(&service, 100.0, 130.0);
    // One run that hung and some that failed early are no change.
    runs[10].duration_seconds = 7200.into();
    let failed = CiRun::series(&service, start() + SignedDuration::from_mins(30), &[1.0; 60]);
    let failed: Vec<CiRun> = failed.into_iter().map(|run| CiRun { status: "failure", ..run }).collect();
    let mut faster = step(&service, 60.0, 40.0);
    faster.iter_mut().for_each(|run| run.environment = "laptop".to_owned());
    stack.database.insert_runs(&[runs.clone(), failed, faster.clone()].concat()).await;

    let answer: Value = stack.ci(&format!("regressions?service={service}&minPercent=5")).await.expect(200).json();
    let [slower, faster_found] = answer["items"].as_array().unwrap().as_slice() else { panic!("{answer:#}") };
    let expected = |environment: &str, first: &CiRun, before: f64, after: f64, percent: f64| {
        json!({
            "service": service, "command": "make check", "environment": environment,
            "changedAt": first.started_at.to_string(), "firstRunId": first.run_id,
            "firstCommitSha": first.commit_sha, "beforeMedianSeconds": before, "afterMedianSeconds": after,
            "changePercent": percent, "pValue": 0.001, "possibleCauses": [],
        })
    };
    let percent = |item: &Value| item["changePercent"].as_f64().unwrap();
    assert!((percent(slower) - 30.0).abs() < 1.0 && (percent(faster_found) + 33.3).abs() < 1.0, "{answer:#}");
    assert_eq!(*slower, expected("github-actions", &runs[40], 100.2, 130.26, percent(slower)));
    assert_eq!(*faster_found, expected("laptop", &faster[40], 60.12, 40.08, percent(faster_found)));
    assert_eq!(answer["insufficient"], json!([]));
    assert_eq!(answer.get("nextCursor"), None);

    let again: Value = stack.ci(&format!("regressions?service={service}&minPercent=5")).await.expect(200).json();
    assert_eq!(again, answer, "the same runs, the same answer");
    for (query, found) in [
        ("minPercent=30.1", vec!["laptop"]),
        ("minPercent=29.9&minSeconds=30", vec!["github-actions"]),
        ("minPercent=0.01&minSeconds=0.01", vec!["github-actions", "laptop"]),
        ("minSeconds=31", Vec::new()),
    ] {
        let answer: Value = stack.ci(&format!("regressions?service={service}&{query}")).await.expect(200).json();
        let items = answer["items"].as_array().unwrap();
        let environments: Vec<&str> = items.iter().map(|item| item["environment"].as_str().unwrap()).collect();
        assert_eq!(environments, found, "{query}");
    }
    let before: Value = stack.ci(&format!("regressions?service={service}&to=2025-09-02")).await.expect(200).json();
    assert_eq!(before["items"], json!([]), "it is not in the first 48 hours");
}

#[tokio::test]
async fn a_series_that_is_too_short_is_named_instead_of_looking_healthy() {
    let stack = Stack::from_env().await;
    let service = unique("short");
    let mut runs = CiRun::series(&service, start(), &around(100.0, 23));
    let mut failing = CiRun::series(&service, start(), &around(100.0, 40));
    failing.iter_mut().for_each(|run| {
        run.environment = "jenkins".to_owned();
        run.status = "failure";
    });
    runs.extend(failing);
    stack.database.insert_runs(&runs).await;
    let answer: Value = stack.ci(&format!("regressions?service={service}&minPercent=5")).await.expect(200).json();
    let short = |environment: &str, runs: u32| json!({"service": service, "command": "make check", "environment": environment, "runs": runs});
    assert_eq!(answer["insufficient"], json!([short("github-actions", 23), short("jenkins", 0)]));
    assert_eq!((&answer["items"], &answer["searched"], &answer["series"]), (&json!([]), &json!(true), &json!(2)));
    let told: Value = stack.ci(&format!("regressions?service={service}")).await.expect(200).json();
    assert_eq!((&told["insufficient"], &told["searched"]), (&answer["insufficient"], &json!(false)));
    let one_more = CiRun::new(&service, start() + SignedDuration::from_hours(30), 100.into());
    stack.database.insert_runs(&[one_more]).await;
    let answer: Value = stack
        .ci(&format!("regressions?service={service}&minPercent=5&environment=github-actions"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&answer["items"], &answer["insufficient"]),
        (&json!([]), &json!([])),
        "24 are enough, and nothing changed"
    );
}

#[tokio::test]
async fn other_changes_at_the_same_point_are_possible_causes() {
    let stack = Stack::from_env().await;
    let service = unique("causes");
    let mut runs = step(&service, 100.0, 140.0);
    runs[40..].iter_mut().for_each(|run| run.collector_version = "2.0.0".to_owned());
    // The runs of another environment end where this one becomes slower.
    let mut moved = CiRun::series(&service, start() + SignedDuration::from_mins(10), &around(90.0, 41));
    moved.iter_mut().for_each(|run| run.environment = "jenkins".to_owned());
    let last = moved[40].started_at;
    stack.database.insert_runs(&[runs, moved].concat()).await;
    let answer: Value = stack
        .ci(&format!("regressions?service={service}&minPercent=5&environment=github-actions"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        answer["items"][0]["possibleCauses"],
        json!([
            "collector_version changed from 1.0.0 to 2.0.0",
            format!("environment jenkins had its last run at {last}"),
        ]),
        "{answer:#}"
    );
}

#[tokio::test]
async fn many_series_come_in_pages() {
    let stack = Stack::from_env().await;
    let service = unique("many");
    let mut runs = Vec::new();
    for n in 0..7 {
        let mut series = if n % 2 == 0 { step(&service, 50.0, 70.0) } else { CiRun::series(&service, start(), &[5.0]) };
        series.iter_mut().for_each(|run| run.environment = format!("environment-{n}"));
        runs.extend(series);
    }
    stack.database.insert_runs(&runs).await;
    let pages = stack.ci_pages(&format!("regressions?service={service}&minPercent=5&limit=3")).await;
    let environments = |list: &str| -> Vec<String> {
        let items = pages.iter().flat_map(|page| page[list].as_array().unwrap());
        items.map(|item| item["environment"].as_str().unwrap().replace("environment-", "")).collect()
    };
    assert_eq!(environments("items"), ["0", "2", "4", "6"]);
    assert_eq!(environments("insufficient"), ["1", "3", "5"]);
    assert_eq!(pages.len(), 3);
}
