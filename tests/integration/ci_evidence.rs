//! Evidence by month, with the objects that it rests on.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tests::{CiRun, Stack};

/// A service of the checked-in targets: p95 at most 180 s and a success rate of at least 0.9, each with 20 runs.
const SERVICE: &str = "user-org-service";

fn run(at: &str, duration: Decimal, status: &'static str) -> CiRun {
    CiRun { status, ..CiRun::new(SERVICE, at.parse().unwrap(), duration) }
}

/// Reads the evidence of a month for the two targets of the service.
async fn evidence(stack: &Stack, month: &str) -> [Value; 2] {
    let answer: Value = stack.ci(&format!("evidence?month={month}")).await.expect(200).json();
    assert_eq!(answer["month"], month);
    let targets = answer["targets"].as_array().unwrap();
    let target = |id: &str| targets.iter().find(|target| target["id"] == id).unwrap().clone();
    [target("user-org-service-check-duration"), target("user-org-service-check-success")]
}

fn objects<'a>(runs: impl IntoIterator<Item = &'a CiRun>) -> Value {
    let mut runs: Vec<&CiRun> = runs.into_iter().collect();
    runs.sort_by_key(|run| &run.object_key);
    let object = |run: &&CiRun| match &run.object_version {
        Some(version) => json!({"key": run.object_key, "version": version}),
        None => json!({"key": run.object_key}),
    };
    runs.iter().map(object).collect()
}

#[tokio::test]
async fn a_value_equal_to_the_bound_passes_and_one_beyond_fails() {
    let stack = Stack::from_env().await;
    // 20 successful runs, whose 95th percentile is the 19th; 2 failures and 18 successes make a rate of 0.9.
    let month = |month: &str, nineteenth: &str, failures: usize| -> Vec<CiRun> {
        let at = format!("{month}-15T12:00:00Z");
        let mut runs: Vec<CiRun> = (0..18).map(|_| run(&at, Decimal::from(60), "success")).collect();
        runs.push(run(&at, nineteenth.parse().unwrap(), "success"));
        runs.push(run(&at, Decimal::from(5000), "success"));
        runs.extend((0..failures).map(|_| run(&at, Decimal::from(9999), "failure")));
        runs.extend((0..5).map(|_| run(&at, Decimal::from(9999), "cancelled")));
        runs
    };
    let good = month("2003-01", "180", 2);
    let bad = month("2003-02", "180.000001", 3);
    stack.database.insert_runs(&[good.clone(), bad].concat()).await;

    let [duration, success] = evidence(&stack, "2003-01").await;
    assert_eq!(
        duration,
        json!({
            "id": "user-org-service-check-duration", "service": SERVICE, "command": "make check",
            "measure": "p95_duration_seconds", "bound": 180.0, "value": 180.0, "runs": 20, "verdict": "pass",
            "objects": objects(&good[..20]),
        })
    );
    assert_eq!(success["objects"], objects(&good[..22]), "cancelled runs are not counted");
    assert_eq!((&success["verdict"], &success["runs"]), (&json!("pass"), &json!(22)), "20 of 22 are enough");

    let [duration, success] = evidence(&stack, "2003-02").await;
    assert_eq!((&duration["verdict"], &duration["value"]), (&json!("fail"), &json!(180.000001)));
    assert_eq!((&success["verdict"], &success["value"]), (&json!("fail"), &json!(20.0 / 23.0)));
}

#[tokio::test]
async fn a_rate_of_exactly_the_bound_passes() {
    let stack = Stack::from_env().await;
    let mut runs: Vec<CiRun> = (0..18).map(|_| run("2003-03-15T00:00:00Z", Decimal::TEN, "success")).collect();
    runs.extend((0..2).map(|_| run("2003-03-15T00:00:00Z", Decimal::TEN, "failure")));
    stack.database.insert_runs(&runs).await;
    let [duration, success] = evidence(&stack, "2003-03").await;
    assert_eq!((&success["verdict"], &success["value"], &success["runs"]), (&json!("pass"), &json!(0.9), &json!(20)));
    assert_eq!((&duration["verdict"], &duration["runs"]), (&json!("insufficient"), &json!(18)), "18 of 20");
    assert_eq!(duration["value"], json!(10.0), "the value is reported without a verdict");
}

#[tokio::test]
async fn a_month_is_utc_to_the_last_microsecond() {
    let stack = Stack::from_env().await;
    let inside = ["2003-05-01T00:00:00Z", "2003-05-31T23:59:59.999999Z"];
    let outside = ["2003-04-30T23:59:59.999999Z", "2003-06-01T00:00:00Z"];
    let [inside, outside] = [inside, outside].map(|both| both.map(|at| run(at, Decimal::TEN, "success")));
    let mut other = run("2003-05-15T00:00:00Z", Decimal::TEN, "success");
    other.command = "make test".to_owned();
    let mut unversioned = run("2003-05-15T00:00:00Z", Decimal::TEN, "success");
    unversioned.object_version = None;
    unversioned.environment = "anywhere".to_owned();
    let runs = [&inside[..], &outside[..], &[other, unversioned.clone()]].concat();
    stack.database.insert_runs(&runs).await;
    let [duration, _] = evidence(&stack, "2003-05").await;
    assert_eq!((&duration["verdict"], &duration["runs"]), (&json!("insufficient"), &json!(3)));
    assert_eq!(duration["objects"], objects(inside.iter().chain([&unversioned])));
}

#[tokio::test]
async fn no_runs_are_not_enough_runs() {
    let stack = Stack::from_env().await;
    for target in evidence(&stack, "1999-12").await {
        assert_eq!(target["verdict"], "insufficient");
        assert_eq!((target.get("value"), &target["runs"], &target["objects"]), (None, &json!(0), &json!([])));
    }
}

#[tokio::test]
async fn more_objects_than_fit_are_counted() {
    let stack = Stack::from_env().await;
    let start: Timestamp = "2003-08-01T00:00:00Z".parse().unwrap();
    let runs: Vec<CiRun> =
        (0..4010).map(|n| CiRun::new(SERVICE, start + SignedDuration::from_mins(n), Decimal::TEN)).collect();
    stack.database.insert_runs(&runs).await;
    let [duration, success] = evidence(&stack, "2003-08").await;
    for target in [duration, success] {
        assert_eq!(target["runs"], 4010);
        assert_eq!(target["objects"].as_array().unwrap().len(), 4000);
        assert_eq!(target["objectsLeftOut"], 10);
    }
}
