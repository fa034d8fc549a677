//! `ledger`: files beside the books.

use anyhow::Result;
use clap::{Args, Subcommand};
use domain::{
    JobId, Month,
    ledger::{Amount, Reference},
    reconciliation::Tolerance,
};
use serde::Deserialize;
use serde_json::{Number, json};

use crate::{
    api::read,
    job::Restatement,
    outcome::Outcome,
    session::Session,
    text::{Align, pairs, table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Compare a file with an amount of the books, and keep the comparison for ever
    ///
    /// The same amount, reference and tolerance again are the same comparison.
    Compare(Compare),
    /// List the comparisons of an export, oldest first
    Comparisons {
        /// The job's UUID
        job: JobId,
    },
    /// Record that a file is the one that was booked for a month
    ///
    /// A booking replaces none: those before it stay.
    Book(Book),
    /// Show the file that was booked for a month, and those that were booked before
    Booking {
        /// Calendar month in UTC, such as 2024-01
        #[arg(long, value_name = "MONTH")]
        month: Month,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The job's UUID
    job: JobId,
    /// Amount of the books in US dollars, such as 523.37
    #[arg(long, allow_hyphen_values = true)]
    amount: Amount,
    /// Entry in the books, such as JE-1017
    #[arg(long)]
    reference: Reference,
    /// Maximum difference, in percent of the amount; 1 unless given
    #[arg(long, value_name = "PERCENT")]
    tolerance: Option<Tolerance>,
}

#[derive(Debug, Args)]
pub(crate) struct Book {
    /// The job's UUID
    job: JobId,
    /// Calendar month in UTC, such as 2024-01
    #[arg(long, value_name = "MONTH")]
    month: Month,
    /// Entry in the books, such as JE-1017
    #[arg(long)]
    reference: Reference,
}

/// A comparison as the API returns it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Comparison {
    compared_at: String,
    reference: String,
    amount: String,
    currency: String,
    file_cost: String,
    difference: String,
    difference_percent: Option<Number>,
    tolerance_percent: Number,
    within_tolerance: bool,
}

#[derive(Debug, Deserialize)]
struct Comparisons {
    items: Vec<Comparison>,
}

/// A month's booking as the API returns it.
#[derive(Debug, Deserialize)]
struct PeriodBooking {
    current: Booking,
    /// Absent from services of before.
    restatement: Option<Restatement>,
    history: Vec<Booking>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Booking {
    version: u32,
    job_id: JobId,
    reference: String,
    cost_total: String,
    booked_at: String,
}

pub(crate) fn run(session: &Session, command: &Ledger) -> Result<()> {
    match command {
        Ledger::Compare(arguments) => compare(session, arguments),
        Ledger::Comparisons { job } => comparisons(session, *job),
        Ledger::Book(arguments) => book(session, arguments),
        Ledger::Booking { month } => booking(session, *month),
    }
}

/// Compares a file with an amount of the books.
fn compare(session: &Session, arguments: &Compare) -> Result<()> {
    let mut request = json!({
        "amount": arguments.amount,
        "currency": "USD",
        "reference": arguments.reference,
    });
    if let Some(tolerance) = arguments.tolerance {
        request["tolerancePercent"] = serde_json::from_str(&tolerance.to_string())?;
    }
    let body = session.api.post(&format!("/exports/{}/comparisons", arguments.job), &request)?;
    let found: Comparison = read(&body)?;
    session.answer(&body, || found.text());
    if found.within_tolerance {
        Ok(())
    } else {
        Err(Outcome::Mismatch("the file and the amount of the books do not agree".to_owned()).into())
    }
}

/// Lists the comparisons of an export.
fn comparisons(session: &Session, job: JobId) -> Result<()> {
    let body = session.api.get(&format!("/exports/{job}/comparisons"), &[])?;
    let found: Comparisons = read(&body)?;
    session.answer(&body, || found.text());
    Ok(())
}

/// Records which file was booked for a month.
fn book(session: &Session, arguments: &Book) -> Result<()> {
    let request = json!({"jobId": arguments.job, "reference": arguments.reference});
    let body = session.api.put(&format!("/periods/{}/booking", arguments.month), &request)?;
    show(session, &body)
}

/// Shows the file that was booked for a month.
fn booking(session: &Session, month: Month) -> Result<()> {
    show(session, &session.api.get(&format!("/periods/{month}/booking"), &[])?)
}

fn show(session: &Session, body: &str) -> Result<()> {
    let found: PeriodBooking = read(body)?;
    session.answer(body, || found.text());
    if let Some(restatement) = &found.restatement {
        terminal::note(&format!("the figures are {}", restatement.text()));
    }
    Ok(())
}

impl Comparison {
    fn percent(&self) -> String {
        self.difference_percent.as_ref().map_or_else(String::new, Number::to_string)
    }

    const fn verdict(&self) -> &'static str {
        if self.within_tolerance { "ok" } else { "MISMATCH" }
    }

    fn text(&self) -> String {
        pairs(&[
            ("reference", self.reference.clone()),
            ("books", format!("{} {}", self.amount, self.currency)),
            ("file", format!("{} {}", self.file_cost, self.currency)),
            ("difference", self.difference.clone()),
            ("percent", self.percent()),
            ("verdict", format!("{}, with a tolerance of {} %", self.verdict(), self.tolerance_percent)),
            ("compared", self.compared_at.clone()),
        ])
    }
}

impl Comparisons {
    fn text(&self) -> String {
        let columns = [
            ("reference", Align::Left),
            ("books", Align::Right),
            ("file", Align::Right),
            ("difference", Align::Right),
            ("%", Align::Right),
            ("", Align::Left),
            ("compared", Align::Left),
        ];
        let row = |one: &Comparison| {
            [
                one.reference.clone(),
                one.amount.clone(),
                one.file_cost.clone(),
                one.difference.clone(),
                one.percent(),
                one.verdict().to_owned(),
                one.compared_at.clone(),
            ]
        };
        let rows: Vec<[String; 7]> = self.items.iter().map(row).collect();
        table(columns, &rows)
    }
}

impl PeriodBooking {
    /// Returns the bookings, the present one first.
    fn text(&self) -> String {
        let columns = [
            ("version", Align::Right),
            ("job", Align::Left),
            ("reference", Align::Left),
            ("cost, USD", Align::Right),
            ("booked", Align::Left),
        ];
        let row = |one: &Booking| {
            [
                one.version.to_string(),
                one.job_id.to_string(),
                one.reference.clone(),
                one.cost_total.clone(),
                one.booked_at.clone(),
            ]
        };
        let rows: Vec<[String; 5]> = [&self.current].into_iter().chain(&self.history).map(row).collect();
        table(columns, &rows)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    const COMPARISON: &str = r#"{"jobId": "018cc251-f400-7000-8000-000000000000", "comparedAt": "2024-02-01T08:00:00Z",
        "comparedBy": "018cc251-f400-7000-8000-000000000000", "reference": "JE-1017", "amount": "523.37",
        "currency": "USD", "fileCost": "538.9327", "difference": "15.5627", "differencePercent": 2.973556,
        "tolerancePercent": 1.0, "withinTolerance": false}"#;

    #[test]
    fn a_comparison_shows_its_figures_and_its_verdict() {
        let one: Comparison = read(COMPARISON).unwrap();
        let text = one.text();
        for word in ["JE-1017", "523.37 USD", "538.9327 USD", "15.5627", "2.973556", "MISMATCH"] {
            assert!(text.contains(word), "{word} is missing: {text}");
        }
        let list: Comparisons = read(&format!(r#"{{"items": [{COMPARISON}]}}"#)).unwrap();
        assert_eq!(list.text().lines().count(), 2);
    }

    #[test]
    fn amounts_are_those_that_the_service_takes() {
        let parse = |amount: &str| {
            let job = "018cc251-f400-7000-8000-000000000000";
            let line = ["analytics", "ledger", "compare", job, "--reference", "JE-1017", "--amount", amount];
            Cli::try_parse_from(line).map(|_| ()).map_err(|error| error.kind())
        };
        assert_eq!((parse("523.37"), parse("-10")), (Ok(()), Ok(())));
        assert_eq!(parse("523,37"), Err(clap::error::ErrorKind::ValueValidation));
    }
}
