//! `export reconcile`: the sums of a file beside the present sums of its sources.

use anyhow::Result;
use serde::Deserialize;
use serde_json::Number;

use crate::{
    api::read,
    cli::Reconcile,
    job::{Completeness, yes_or_no},
    outcome::Outcome,
    session::Session,
    text::{Align, pairs, table},
};

/// A reconciliation as the API returns it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reconciliation {
    status: Status,
    tolerance_percent: Number,
    changed_since_export: bool,
    completeness: Completeness,
    columns: Vec<Column>,
    rounding_difference: Option<RoundingDifferences>,
    file: Option<VerifiedFile>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Reconciled,
    Mismatch,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Column {
    column: String,
    csv: String,
    rollup: String,
    raw: Option<String>,
    difference_percent: Option<Number>,
    raw_difference_percent: Option<Number>,
    within_tolerance: bool,
}

#[derive(Debug, Deserialize)]
struct RoundingDifferences {
    csv: Option<String>,
    rollup: String,
    raw: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerifiedFile {
    is_intact: bool,
    #[serde(default)]
    method: Method,
}

/// The method by which the API verified the file. One that says none reads it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Method {
    #[default]
    Read,
    Store,
}

pub(crate) fn run(session: &Session, arguments: &Reconcile) -> Result<()> {
    let mut query = Vec::new();
    query.extend(arguments.tolerance.map(|tolerance| ("tolerancePercent", tolerance.to_string())));
    if arguments.verify_file {
        query.push(("verify", "file".to_owned()));
    }
    let body = session.api.get(&format!("/exports/{}/reconciliation", arguments.job), &query)?;
    let found: Reconciliation = read(&body)?;
    session.answer(&body, || found.text());
    for note in &found.notes {
        terminal::note(note);
    }
    match found.status {
        Status::Reconciled => Ok(()),
        Status::Mismatch => Err(Outcome::Mismatch("the export and the present figures do not agree".to_owned()).into()),
    }
}

impl Reconciliation {
    fn text(&self) -> String {
        let columns = [
            ("", Align::Left),
            ("file", Align::Right),
            ("rollups", Align::Right),
            ("%", Align::Right),
            ("raw events", Align::Right),
            ("%", Align::Right),
            ("", Align::Left),
        ];
        let rounding = self.rounding_difference.as_ref().map(RoundingDifferences::row);
        let rows: Vec<[String; 7]> = self.columns.iter().map(Column::row).chain(rounding).collect();
        let status = match self.status {
            Status::Reconciled => "reconciled",
            Status::Mismatch => "MISMATCH",
        };
        let mut facts = vec![
            ("status", format!("{status}, with a tolerance of {} %", self.tolerance_percent)),
            ("changed since", yes_or_no(self.changed_since_export).to_owned()),
            ("completeness", self.completeness.text()),
        ];
        facts.extend(self.file.as_ref().map(|file| ("stored file", file.text().to_owned())));
        format!("{}\n\n{}", table(columns, &rows), pairs(&facts))
    }
}

impl Column {
    fn row(&self) -> [String; 7] {
        let percent = |number: &Option<Number>| number.as_ref().map_or_else(String::new, Number::to_string);
        [
            self.column.clone(),
            self.csv.clone(),
            self.rollup.clone(),
            percent(&self.difference_percent),
            self.raw.clone().unwrap_or_default(),
            percent(&self.raw_difference_percent),
            if self.within_tolerance { "ok" } else { "MISMATCH" }.to_owned(),
        ]
    }
}

impl RoundingDifferences {
    fn row(&self) -> [String; 7] {
        let text = |difference: &Option<String>| difference.clone().unwrap_or_default();
        [
            "rounding".to_owned(),
            text(&self.csv),
            self.rollup.clone(),
            String::new(),
            text(&self.raw),
            String::new(),
            String::new(),
        ]
    }
}

impl VerifiedFile {
    const fn text(&self) -> &'static str {
        match (self.method, self.is_intact) {
            (Method::Read, true) => "intact: read, and its SHA-256 compared",
            (Method::Read, false) => "MISSING OR CHANGED",
            (Method::Store, true) => "intact, as the store says; not read",
            (Method::Store, false) => "MISSING OR CHANGED, as the store says; not read",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{
        "jobId": "018cc251-f400-7000-8000-000000000000", "status": "mismatch", "tolerancePercent": 0.5,
        "checkedAt": "2024-02-01T08:00:00Z", "changedSinceExport": true, "completeness": {"status": "final"},
        "columns": [
            {"column": "request_count", "csv": "100", "rollup": "101", "raw": "101", "differencePercent": -0.990099,
             "rawDifferencePercent": 0.0, "withinTolerance": false},
            {"column": "cost_total", "csv": "1.0000", "rollup": "0.0000", "withinTolerance": false}
        ],
        "roundingDifference": {"rollup": "-0.00004"},
        "file": {"isIntact": true, "checksum": "sha256:00", "rowCount": 1},
        "notes": ["The rollups changed after the export."]
    }"#;

    #[test]
    fn the_table_has_every_sum_and_what_is_unknown_is_empty() {
        let found: Reconciliation = read(ANSWER).unwrap();
        let text = found.text();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["request_count", "100", "101", "-0.990099", "101", "0.0", "MISMATCH"]);
        assert_eq!(lines[2], ["cost_total", "1.0000", "0.0000", "MISMATCH"]);
        assert_eq!(lines[3], ["rounding", "-0.00004"]);
        assert!(text.contains("MISMATCH, with a tolerance of 0.5 %") && text.contains("intact: read"), "{text}");
        let found: Reconciliation =
            read(&ANSWER.replace(r#"{"isIntact""#, r#"{"method": "store", "isIntact""#)).unwrap();
        assert!(found.text().contains("intact, as the store says; not read"), "{}", found.text());
    }
}
