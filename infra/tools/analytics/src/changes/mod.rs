//! `changes`: what changed between two files, or between a file and the present figures.

mod local;

use std::{collections::BTreeMap, io, io::Write as _};

use anyhow::{Context as _, Result};
use domain::{Totals, measures::cost_text};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    api::read,
    cli::{Changes, Level},
    job::TotalsView,
    outcome::Outcome,
    session::Session,
    text::{Align, table},
};

pub(crate) use self::local::run as run_local;

/// The part of an answer that is shown as text.
#[derive(Debug, Deserialize)]
struct Answer {
    level: String,
    totals: Both,
    rows: Counts,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Both {
    old: TotalsView,
    new: TotalsView,
    difference: TotalsView,
}

#[derive(Debug, Deserialize)]
struct Counts {
    added: u64,
    vanished: u64,
    changed: u64,
    unchanged: u64,
}

/// A page of changes, which stay as they came.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    bucket_start: String,
    model_id: Option<String>,
    change: String,
    difference: TotalsView,
}

pub(crate) fn run(session: &Session, arguments: &Changes) -> Result<()> {
    let (Some(job), Some(against)) = (arguments.job, &arguments.against) else {
        return Err(Outcome::WrongUsage("give a job and --against, or --old and --new".to_owned()).into());
    };
    let path = format!("/exports/{job}/changes");
    let mut query = vec![("against", against.clone())];
    query.extend(arguments.level.map(|level| ("level", level.name().to_owned())));
    if arguments.csv {
        return print(&session.api.get_csv(&path, &query)?);
    }
    query.push(("limit", "5000".to_owned()));
    let body = session.api.get(&path, &query)?;
    let answer: Answer = read(&body)?;
    let mut page: Page = read(&body)?;
    let mut items = page.items;
    let is_one = page.next_cursor.is_none();
    while let Some(cursor) = page.next_cursor {
        let mut next = query.clone();
        next.push(("cursor", cursor));
        page = read(&session.api.get(&path, &next)?)?;
        items.append(&mut page.items);
    }
    let json = if is_one { body } else { joined(&body, &items)? };
    let rows = items.iter().map(|item| read::<Item>(item.get())).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<[String; 7]> = rows.into_iter().map(Item::cells).collect();
    session.answer(&json, || text(&rows, &answer.totals.as_sums(), &answer.rows.sentence(&answer.level)));
    for note in &answer.notes {
        terminal::note(note);
    }
    Ok(())
}

/// Writes an adjustment to stdout, as it is.
fn print(csv: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(csv.as_bytes()).and_then(|()| stdout.flush()).context("can't write to stdout")
}

/// Returns the first page with the items of all pages.
fn joined(first: &str, items: &[Box<RawValue>]) -> Result<String> {
    let mut whole: BTreeMap<String, Box<RawValue>> = read(first)?;
    whole.remove("nextCursor");
    whole.insert("items".to_owned(), to_raw_value(items)?);
    Ok(serde_json::to_string(&whole)?)
}

/// Returns the changes, the sums of both files and a sentence of the numbers.
fn text(rows: &[[String; 7]], sums: &[(&str, Totals); 3], sentence: &str) -> String {
    let right = |name| (name, Align::Right);
    let left = |name| (name, Align::Left);
    let measures = [right("requests"), right("tokens"), right("errors"), right("cost, USD")];
    let [requests, tokens, errors, cost] = measures;
    let changes = table([left("bucket"), left("model"), left("change"), requests, tokens, errors, cost], rows);
    let sums: Vec<[String; 5]> = sums
        .iter()
        .map(|(name, totals)| {
            let [requests, tokens, errors, cost] = cells(totals, *name == "difference");
            [(*name).to_owned(), requests, tokens, errors, cost]
        })
        .collect();
    let totals = table([left(""), requests, tokens, errors, cost], &sums);
    if rows.is_empty() { format!("{totals}\n\n{sentence}") } else { format!("{changes}\n\n{totals}\n\n{sentence}") }
}

/// Returns the measures as text, with a sign before differences.
fn cells(totals: &Totals, is_signed: bool) -> [String; 4] {
    let Totals { request_count, tokens_total, error_count, cost_total } = *totals;
    let count = |value: i128| if is_signed { format!("{value:+}") } else { value.to_string() };
    let sign = if is_signed && !cost_total.is_sign_negative() { "+" } else { "" };
    [count(request_count), count(tokens_total), count(error_count), format!("{sign}{}", cost_text(cost_total))]
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Day => "day",
        }
    }
}

impl Both {
    fn as_sums(&self) -> [(&'static str, Totals); 3] {
        [("old", (&self.old).into()), ("new", (&self.new).into()), ("difference", (&self.difference).into())]
    }
}

impl Counts {
    fn sentence(&self, level: &str) -> String {
        let what = match level {
            "row" => "rows",
            "day-model" => "days and models",
            _ => "days",
        };
        let Self { added, vanished, changed, unchanged } = self;
        format!("{what}: {added} added, {vanished} vanished, {changed} changed, {unchanged} unchanged")
    }
}

impl Item {
    fn cells(self) -> [String; 7] {
        let [requests, tokens, errors, cost] = cells(&(&self.difference).into(), true);
        [self.bucket_start, self.model_id.unwrap_or_default(), self.change, requests, tokens, errors, cost]
    }
}

#[cfg(test)]
mod tests {
    use clap::{Parser as _, error::ErrorKind};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn differences_have_signs_and_totals_do_not() {
        let item: Item = read(
            r#"{"bucketStart": "2024-01-01T00:00:00Z", "change": "changed", "difference": {"requestCount": -5,
                "tokensTotal": 0, "errorCount": 2, "costTotal": "15.5598"}}"#,
        )
        .unwrap();
        let rows = [item.cells()];
        assert_eq!(rows[0], ["2024-01-01T00:00:00Z", "", "changed", "-5", "+0", "+2", "+15.5598"]);
        let sums = |cost: &str| Totals::new([1, 2, 3], cost.parse().unwrap());
        let both = [("old", sums("523.3729")), ("new", sums("538.9327")), ("difference", sums("15.5598"))];
        let counts = Counts { added: 1, vanished: 0, changed: 2, unchanged: 3 };
        let text = text(&rows, &both, &counts.sentence("row"));
        for part in ["523.3729", "+15.5598", "rows: 1 added, 0 vanished, 2 changed, 3 unchanged"] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
        assert!(!text.contains("+523.3729"), "{text}");
    }

    #[test]
    fn a_job_and_files_exclude_each_other() {
        let job = "018cc251-f400-7000-8000-000000000000";
        let parse = |line: &str| {
            let line = format!("analytics changes {line}");
            Cli::try_parse_from(line.split(' ')).map(|_| ()).map_err(|error| error.kind())
        };
        for good in [
            format!("{job} --against current"),
            format!("{job} --against {job} --csv"),
            format!("{job} --against current --level day"),
            "--old a.csv --new b.csv".to_owned(),
        ] {
            assert_eq!(parse(&good), Ok(()), "{good}");
        }
        for (wrong, kind) in [
            (job.to_owned(), ErrorKind::MissingRequiredArgument),
            ("--old a.csv".to_owned(), ErrorKind::MissingRequiredArgument),
            (format!("{job} --against current --old a --new b"), ErrorKind::ArgumentConflict),
            (format!("{job} --against yesterday"), ErrorKind::ValueValidation),
        ] {
            assert_eq!(parse(&wrong), Err(kind), "{wrong}");
        }
    }
}
