//! The rows of the service itself: whether it is ready, whether its tasks run, what is deployed, what rings.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    facts::{Answer, Facts, LastRun, Ready, Version},
    verdict::{Row, span},
};

/// The scheduled functions that have to run: short name, noun, seconds between two runs at most, section.
const RUNS: [(&str, &str, i64, &str); 4] = [
    ("sweep", "sweep", 1200, "sweepnotrunningalarm"),
    ("refresh", "refresh", 900, "refreshlagalarm"),
    ("retention", "retention", 26 * 3600, "retentionnotrunningalarm"),
    ("reconcile", "reconciliation", 26 * 3600, "reconciliationnotrunningalarm"),
];

/// Judges the answer of `readyz`.
pub(super) fn ready(facts: &Facts) -> Row {
    let mut row = Row::of("ready", "The API", &facts.ready, |row, ready| match ready {
        Ready { status: 200, .. } => row.text("all dependencies answer"),
        Ready { status, detail } => {
            let anchor = if detail.contains("migrations") {
                "a-bad-deploy"
            } else if detail.contains("database") {
                "database-failover"
            } else {
                "apierrorsalarm"
            };
            row.text(format!("{status} {detail}")).needs(format!("The API is not ready: {status} {detail}"), anchor)
        }
    });
    if let Answer::Failed(_) = facts.ready {
        row.findings.iter_mut().for_each(|finding| finding.anchor = "apierrorsalarm".to_owned());
    }
    row
}

/// Judges when each scheduled function ran last.
pub(super) fn runs(facts: &Facts) -> Vec<Row> {
    let mut rows: Vec<Row> =
        RUNS.iter().map(|(name, noun, limit, anchor)| run(facts, name, noun, *limit, anchor)).collect();
    // The month's record tells whether it had to run.
    rows.push(run(facts, "monthly", "monthly run", i64::MAX, "monthlynotrunalarm"));
    rows
}

fn run(facts: &Facts, name: &str, noun: &str, limit: i64, anchor: &str) -> Row {
    let unknown = Answer::Unasked("not known".to_owned());
    let answer = facts.runs.get(name).unwrap_or(&unknown);
    Row::of(noun, &format!("The log of {name}"), answer, |row, run| {
        let age = match &facts.stack {
            Answer::Ok(stack) => facts.now - stack.created,
            // As if it were old.
            _ => i64::MAX,
        };
        let searched = span(run.hours * 3600);
        match &run.last {
            Some(last) => {
                let ago = facts.now - last.at;
                let row = troubles(row.text(text(last, ago)), name, last);
                if ago <= limit {
                    return row;
                }
                row.needs(format!("The last {noun} ended {} ago.", span(ago)), anchor)
            }
            None if age <= limit && age < run.hours * 3600 => {
                row.text(format!("none yet; the stack is {} old", span(age)))
            }
            None if limit == i64::MAX => row.text(format!("none for {searched}")),
            None => {
                row.text(format!("none for {searched}")).needs(format!("No {noun} ended within {searched}."), anchor)
            }
        }
    })
}

fn text(last: &LastRun, ago: i64) -> String {
    let level = if last.level == "INFO" { String::new() } else { format!(", {}", last.level) };
    format!("{} ago, version {}{level}", span(ago), last.version)
}

/// Adds the troubles that the last run reported.
fn troubles(row: Row, name: &str, last: &LastRun) -> Row {
    let number = |metric: &str| last.numbers.get(metric).copied();
    match name {
        "sweep" if number("SweepErrors").is_some_and(|errors| errors > 0.0) => {
            row.needs("The last sweep could not act on some jobs.", "sweeperrorsalarm")
        }
        "sweep" if number("OldestUnpublishedSeconds").is_some_and(|seconds| seconds > 1800.0) => {
            row.needs("Events of exports have not been published for half an hour.", "eventsunpublishedalarm")
        }
        "retention" if number("PartitionsAheadDays").is_some_and(|days| days < 4.0) => {
            row.needs("Partitions for new usage exist for less than four days.", "partitionsaheadalarm")
        }
        "reconcile" if number("ReconciliationMismatches").is_some_and(|found| found > 0.0) => {
            row.needs("The last reconciliation found a file that differs from the rollups.", "reconciliationalarm")
        }
        _ => row,
    }
}

/// Describes the deployed versions. They are for the reader; only a deploy that failed is a finding.
pub(super) fn versions(facts: &Facts) -> Row {
    let row = Row::of("deployed", "CloudFormation", &facts.stack, |row, stack| {
        let row = row.text(format!("{} ago, {}", span(facts.now - stack.changed), stack.status));
        if stack.status.contains("FAILED") || stack.status.contains("ROLLBACK") {
            return row.needs(format!("The last deploy ended as {}.", stack.status), "a-bad-deploy");
        }
        row
    });
    let commits: BTreeSet<&str> = facts.runs.values().filter_map(commit).collect();
    let live: Vec<String> = facts.versions.iter().filter_map(|(name, answer)| alias(name, answer)).collect();
    let mut parts = vec![row.text.clone()];
    if !commits.is_empty() {
        parts.push(format!("version {}", commits.into_iter().collect::<Vec<_>>().join(" and ")));
    }
    if !live.is_empty() {
        parts.push(format!("live: {}", live.join(", ")));
    }
    row.text(parts.join("; "))
}

fn commit(answer: &Answer<super::facts::Run>) -> Option<&str> {
    let Answer::Ok(run) = answer else { return None };
    run.last.as_ref().map(|last| last.version.as_str())
}

fn alias(name: &str, answer: &Answer<Version>) -> Option<String> {
    match answer {
        Answer::Ok(Version { live, also }) => Some(format!("{name} {live}{}", shares(also))),
        Answer::Failed(_) => Some(format!("{name} ?")),
        Answer::Unasked(_) => None,
    }
}

fn shares(also: &BTreeMap<String, f64>) -> String {
    also.iter().map(|(version, share)| format!(" (and {version} for {share} of the requests)")).collect()
}

/// Judges the alarms: each that rings has its section.
pub(super) fn alarms(facts: &Facts) -> Row {
    Row::of("alarms", "CloudWatch", &facts.alarms, |row, alarms| {
        if alarms.is_empty() {
            return row.text("none rings");
        }
        let row = row.text(format!("{} in ALARM", alarms.len()));
        alarms.iter().fold(row, |row, alarm| row.needs(format!("{} ({})", alarm.sentence, alarm.name), &alarm.anchor))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{
        facts::{Alarm, Run, Stack},
        sample::healthy,
    };

    fn anchors(rows: &[Row]) -> Vec<&str> {
        rows.iter().flat_map(|row| &row.findings).map(|finding| finding.anchor.as_str()).collect()
    }

    #[test]
    fn what_is_not_ready_leads_to_its_section() {
        let mut facts = healthy();
        for (detail, anchor) in [
            ("These do not: database, which lacks migrations of this version.", "a-bad-deploy"),
            ("These do not: database.", "database-failover"),
            ("These do not: exports queue.", "apierrorsalarm"),
        ] {
            facts.ready = Answer::Ok(Ready { status: 503, detail: detail.to_owned() });
            assert_eq!(anchors(&[ready(&facts)]), [anchor], "{detail}");
        }
        facts.ready = Answer::Failed("connection refused".to_owned());
        assert_eq!(anchors(&[ready(&facts)]), ["apierrorsalarm"]);
    }

    #[test]
    fn a_task_that_does_not_run_is_found_unless_the_stack_is_young() {
        for (name, _, limit, anchor) in RUNS {
            let mut facts = healthy();
            let now = facts.now;
            let mut found = |last: Option<i64>, created: i64| {
                let status = "CREATE_COMPLETE".to_owned();
                facts.stack = Answer::Ok(Stack { status, created, changed: created });
                let last = last.map(|at| LastRun {
                    at,
                    level: "INFO".to_owned(),
                    version: "dev".to_owned(),
                    numbers: BTreeMap::new(),
                });
                facts.runs.insert(name.to_owned(), Answer::Ok(Run { hours: 50, last }));
                anchors(&runs(&facts)).into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(found(Some(now - limit), 0), [""; 0], "{name}");
            assert_eq!(found(Some(now - limit - 1), 0), [anchor], "{name}");
            assert_eq!(found(None, now - limit), [""; 0], "{name}");
            assert_eq!(found(None, now - limit - 1), [anchor], "{name}");
        }
    }

    #[test]
    fn what_the_last_run_found_needs_a_person() {
        for (name, metric, value, anchor) in [
            ("sweep", "SweepErrors", 1.0, "sweeperrorsalarm"),
            ("sweep", "OldestUnpublishedSeconds", 1801.0, "eventsunpublishedalarm"),
            ("retention", "PartitionsAheadDays", 3.0, "partitionsaheadalarm"),
            ("reconcile", "ReconciliationMismatches", 1.0, "reconciliationalarm"),
        ] {
            let mut facts = healthy();
            let Some(Answer::Ok(run)) = facts.runs.get_mut(name) else { panic!("{name}") };
            run.last.as_mut().unwrap().numbers.insert(metric.to_owned(), value);
            assert_eq!(anchors(&runs(&facts)), [anchor], "{name}");
        }
    }

    #[test]
    fn the_versions_tell_of_a_canary_and_of_a_deploy_that_failed() {
        let mut facts = healthy();
        assert_eq!(anchors(&[versions(&facts)]), [""; 0]);
        let also = [("4".to_owned(), 0.1)].into();
        facts.versions.insert("api".to_owned(), Answer::Ok(Version { live: "3".to_owned(), also }));
        let text = versions(&facts).text;
        assert!(text.ends_with("version dev; live: api 3 (and 4 for 0.1 of the requests)"), "{text}");
        let status = "UPDATE_ROLLBACK_COMPLETE".to_owned();
        facts.stack = Answer::Ok(Stack { status, created: 0, changed: 0 });
        assert_eq!(anchors(&[versions(&facts)]), ["a-bad-deploy"]);
    }

    #[test]
    fn each_alarm_that_rings_leads_to_its_section() {
        let mut facts = healthy();
        let alarm = |anchor: &str| Alarm {
            name: format!("s-Operations-{anchor}"),
            sentence: "Page: Something.".to_owned(),
            anchor: anchor.to_owned(),
        };
        facts.alarms = Answer::Ok(vec![alarm("queueagealarm"), alarm("apierrorsalarm")]);
        assert_eq!(anchors(&[alarms(&facts)]), ["queueagealarm", "apierrorsalarm"]);
    }
}
