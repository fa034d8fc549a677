//! The runbook: a section for each alarm, and none for what does not exist.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tests::Template;

/// What users report, and what on-call types.
const OTHERS: [&str; 8] = [
    "Commands",
    "A job stays pending",
    "A job failed",
    "A link has expired",
    "A reconciliation differs",
    "Database failover",
    "A bad deploy",
    "A wrong month",
];

fn runbook() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/runbooks/analytics-incident-response.md");
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn headings(text: &str, level: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix(level)).map(str::to_owned).collect()
}

/// Returns the anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-'));
    kept.map(|it| if it == ' ' { '-' } else { it.to_ascii_lowercase() }).collect()
}

#[test]
fn each_alarm_has_a_section_and_each_section_an_alarm_or_a_symptom() {
    let operations = Template::operations();
    let resources = operations.value("Resources").as_object().unwrap();
    let is_alarm = |resource: &Value| resource["Type"] == "AWS::CloudWatch::Alarm";
    let alarms = resources.iter().filter(|(_, resource)| is_alarm(resource)).map(|(name, _)| name.clone());
    let wanted: BTreeSet<String> = alarms.chain(OTHERS.map(str::to_owned)).collect();
    let sections: BTreeSet<String> = headings(&runbook(), "## ").into_iter().collect();
    assert_eq!(sections, wanted);
}

#[test]
fn each_link_within_the_runbook_leads_to_a_heading() {
    let text = runbook();
    let headings = headings(&text, "## ").into_iter().chain(headings(&text, "### "));
    let anchors: BTreeSet<String> = headings.map(|heading| anchor(&heading)).collect();
    let links: Vec<&str> = text.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 20, "{links:?}");
    let dead: Vec<&&str> = links.iter().filter(|link| !anchors.contains(**link)).collect();
    assert!(dead.is_empty(), "{dead:?}");
}
