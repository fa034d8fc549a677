//! The facts of a file, as its job states them and as they are computed from its bytes.

use domain::{
    ExportFile, Totals,
    reconciliation::{column_text, columns},
};
use serde::Serialize;

use crate::{
    outcome::Outcome,
    text::{Align, table},
};

/// The facts that a job states about its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) checksum: String,
    pub(crate) row_count: u64,
    pub(crate) totals: Totals,
}

/// One fact of a file beside that of the job.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Comparison {
    fact: &'static str,
    file: String,
    job: String,
    agrees: bool,
}

impl Comparison {
    fn new(fact: &'static str, file: impl ToString, job: impl ToString) -> Self {
        let (file, job) = (file.to_string(), job.to_string());
        Self { agrees: file == job, fact, file, job }
    }
}

/// Compares a file with what its job states.
pub(crate) fn compare(file: &ExportFile, job: &Facts) -> Vec<Comparison> {
    let sums = columns(&file.totals).into_iter().zip(columns(&job.totals));
    [Comparison::new("checksum", &file.checksum, &job.checksum), Comparison::new("rows", file.row_count, job.row_count)]
        .into_iter()
        .chain(sums.map(|((column, file), (_, job))| {
            Comparison::new(column, column_text(column, file), column_text(column, job))
        }))
        .collect()
}

/// Returns the facts that differ: the name, that of the file and that which is stated.
pub(crate) fn different(file: &ExportFile, stated: &Facts) -> Vec<(&'static str, String, String)> {
    let differs = compare(file, stated).into_iter().filter(|fact| !fact.agrees);
    differs.map(|Comparison { fact, file, job, .. }| (fact, file, job)).collect()
}

/// Succeeds if all facts agree.
pub(crate) fn require_equal(compared: &[Comparison]) -> Result<(), Outcome> {
    let different: Vec<&str> = compared.iter().filter(|fact| !fact.agrees).map(|fact| fact.fact).collect();
    if different.is_empty() {
        return Ok(());
    }
    Err(Outcome::Mismatch(format!("this is not the job's file; different: {}", different.join(", "))))
}

/// Returns the facts as a table. A value that both have is shown once: a checksum takes most of a line.
pub(crate) fn as_table(compared: &[Comparison]) -> String {
    let columns = [("", Align::Left), ("", Align::Left), ("file", Align::Left), ("job, where different", Align::Left)];
    let rows: Vec<[String; 4]> = compared
        .iter()
        .map(|Comparison { fact, file, job, agrees }| {
            let (verdict, job) = if *agrees { ("equal", "") } else { ("DIFFERENT", job.as_str()) };
            [fact, verdict, file, job].map(str::to_owned)
        })
        .collect();
    table(columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> ExportFile {
        ExportFile {
            software: None,
            checksum: "sha256:00".to_owned(),
            bytes: 9,
            row_count: 2,
            totals: Totals::new([1, i128::from(u64::MAX) + 1, 3], "-4.5000".parse().unwrap()),
            rounding_difference: None,
            completeness: None,
            days: None,
            tag: None,
        }
    }

    fn facts() -> Facts {
        let ExportFile { checksum, row_count, totals, .. } = file();
        Facts { checksum, row_count, totals }
    }

    #[test]
    fn every_fact_is_compared_and_the_different_ones_are_named() {
        assert!(require_equal(&compare(&file(), &facts())).is_ok());
        type Change = fn(&mut Facts);
        let different: [(&str, Change); 6] = [
            ("checksum", |facts| facts.checksum = "sha256:01".to_owned()),
            ("rows", |facts| facts.row_count = 3),
            ("request_count", |facts| facts.totals.request_count += 1),
            ("tokens_total", |facts| facts.totals.tokens_total += 1),
            ("error_count", |facts| facts.totals.error_count += 1),
            ("cost_total", |facts| facts.totals.cost_total += rust_decimal::Decimal::ONE),
        ];
        for (name, change) in different {
            let mut facts = facts();
            change(&mut facts);
            let told = require_equal(&compare(&file(), &facts)).unwrap_err().to_string();
            assert_eq!(told, format!("this is not the job's file; different: {name}"));
        }
    }

    #[test]
    fn the_table_has_the_exact_values() {
        let mut facts = facts();
        facts.totals.error_count = 4;
        let text = as_table(&compare(&file(), &facts));
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[4], ["tokens_total", "equal", "18446744073709551616"]);
        assert_eq!(words[5], ["error_count", "DIFFERENT", "3", "4"]);
        assert_eq!(words[6], ["cost_total", "equal", "-4.5000"]);
    }
}
