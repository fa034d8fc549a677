//! `usage`: the present usage of a range.

use anyhow::Result;
use serde::{Deserialize, de::IgnoredAny};

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
    series: Vec<IgnoredAny>,
    completeness: Completeness,
    #[serde(default)]
    warnings: Vec<String>,
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
    session.answer(&body, || {
        let range = ("range", format!("{} to {}", range.start(), range.end()));
        let entries = ("entries", format!("{} {}", usage.series.len(), arguments.granularity));
        let completeness = ("completeness", usage.completeness.text());
        let rows: Vec<_> = [range, entries].into_iter().chain(usage.totals.rows()).chain([completeness]).collect();
        pairs(&rows)
    });
    for warning in &usage.warnings {
        terminal::note(warning);
    }
    Ok(())
}
