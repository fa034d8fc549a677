//! `export list`: the organization's exports, newest first.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    api::read,
    cli::List,
    job::{Completeness, Degree, Job},
    problem::RequestError,
    session::Session,
    text::{Align, table},
};

/// Maximum length of a page, by the API.
const MAX_PAGE: usize = 100;

/// A page of a list. Its items stay as they came, so that `--json` shows all of their fields.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    pub(crate) items: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
}

pub(crate) fn run(session: &Session, arguments: &List) -> Result<()> {
    let filter = [
        ("status", arguments.status.map(|status| status.to_string())),
        ("period", arguments.month.map(|month| month.to_string())),
        ("initiatedBy", arguments.initiated_by.map(|id| id.to_string())),
        ("origin", arguments.origin.map(|origin| origin.to_string())),
    ];
    let all = pages(session, "/exports", &filter, arguments.limit)?;
    let jobs = all.items.iter().map(|item| read(item.get())).collect::<Result<Vec<Job>, _>>()?;
    session.answer(&serde_json::to_string(&all)?, || as_table(&jobs));
    if all.next_cursor.is_some() {
        terminal::note("there are more; raise --limit to see them");
    }
    Ok(())
}

/// Reads pages of the list at a path up to the limit, and joins them to one.
pub(crate) fn pages(
    session: &Session,
    path: &str,
    filter: &[(&'static str, Option<String>)],
    limit: Option<u32>,
) -> Result<Page, RequestError> {
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut all = Page::default();
    loop {
        let wanted = (limit - all.items.len()).min(MAX_PAGE);
        let mut query = vec![("limit", wanted.to_string())];
        query.extend(filter.iter().filter_map(|(name, value)| Some((*name, value.clone()?))));
        query.extend(all.next_cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Page = read(&session.api.get(path, &query)?)?;
        all.items.extend(page.items);
        all.next_cursor = page.next_cursor;
        if all.next_cursor.is_none() || all.items.len() >= limit {
            return Ok(all);
        }
    }
}

fn as_table(jobs: &[Job]) -> String {
    let columns = [
        ("job", Align::Left),
        ("status", Align::Left),
        ("granularity", Align::Left),
        ("start", Align::Left),
        ("end", Align::Left),
        ("version", Align::Right),
        ("rows", Align::Right),
        ("completeness", Align::Left),
        ("created", Align::Left),
    ];
    let rows: Vec<[String; 9]> = jobs
        .iter()
        .map(|job| {
            [
                job.job_id.to_string(),
                job.status.to_string(),
                job.granularity.to_string(),
                job.time_range.start().to_string(),
                job.time_range.end().to_string(),
                job.version.map_or_else(String::new, |version| version.to_string()),
                job.row_count.map_or_else(String::new, |count| count.to_string()),
                job.completeness.as_ref().map_or("", degree).to_owned(),
                job.created_at.to_string(),
            ]
        })
        .collect();
    table(columns, &rows)
}

const fn degree(completeness: &Completeness) -> &'static str {
    match completeness.status {
        Degree::Final => "final",
        Degree::Provisional => "provisional",
    }
}
