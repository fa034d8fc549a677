//! `usage`: the present usage of a range.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    api::read,
    cli::UsageArguments,
    job::{Completeness, TotalsView},
    session::Session,
    text::pairs,
};

/// The part of the answer that is shown as text.
#[derive(Debug, Deserialize)]
struct Usage {
    totals: TotalsView,
    completeness: Completeness,
    #[serde(default)]
    warnings: Vec<String>,
}

/// A page of the series. The entries stay as they came.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    series: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

pub(crate) fn run(session: &Session, arguments: &UsageArguments) -> Result<()> {
    let range = arguments.period.range()?;
    let mut query = vec![
        ("start", range.start().to_string()),
        ("end", range.end().to_string()),
        ("granularity", arguments.granularity.to_string()),
    ];
    query.extend(arguments.model.map(|model| ("modelId", model.to_string())));
    let body = session.api.get("/usage", &query)?;
    let usage: Usage = read(&body)?;
    let mut page: Page = read(&body)?;
    let is_one = page.next_cursor.is_none();
    let mut series = page.series;
    while let Some(cursor) = page.next_cursor {
        let mut next = query.clone();
        next.push(("cursor", cursor));
        page = read(&session.api.get("/usage", &next)?)?;
        series.append(&mut page.series);
    }
    let json = if is_one { body } else { joined(&body, &series)? };
    session.answer(&json, || {
        let range = ("range", format!("{} to {}", range.start(), range.end()));
        let entries = ("entries", format!("{} {}", series.len(), arguments.granularity));
        let completeness = ("completeness", usage.completeness.text());
        let rows: Vec<_> = [range, entries].into_iter().chain(usage.totals.rows()).chain([completeness]).collect();
        pairs(&rows)
    });
    for warning in &usage.warnings {
        terminal::note(warning);
    }
    Ok(())
}

/// Returns the first page with the entries of all pages.
fn joined(first: &str, series: &[Box<RawValue>]) -> Result<String> {
    let mut whole: BTreeMap<String, Box<RawValue>> = read(first)?;
    whole.remove("nextCursor");
    whole.insert("series".to_owned(), to_raw_value(series)?);
    Ok(serde_json::to_string(&whole)?)
}
