//! Changes as they were told, with the answers to them.

use std::{collections::BTreeMap, time::Duration};

use domain::Subject;
use platform::cursor;
use postgres::LimitedReads;
use tokio_postgres::{Client, Row, types::Type};
use uuid::Uuid;

use super::{
    Filter, ReportError, SeriesCursor, read_optional_time, read_series, read_time,
    series::{list, page},
};
use crate::{
    Regression, Series,
    change::{Acknowledgement, ToldChange, state_named},
    regression::percent,
    sql::Parameters,
};

/// A series with the changes that were told of it.
#[derive(Debug, Clone)]
pub struct SeriesChanges {
    /// The series.
    pub series: Series,
    /// The number of its successful runs.
    pub runs: u64,
    /// The changes, oldest first, also withdrawn ones.
    pub changes: Vec<ToldChange>,
    /// Whether it has runs that were not looked at yet.
    pub is_unseen: bool,
}

/// A page of series with the changes that were told of them.
#[derive(Debug)]
pub struct SeriesChangesPage {
    /// The series, by service, command and environment.
    pub series: Vec<SeriesChanges>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// Reads at most `limit` series with the changes that were told of them, by service, command and environment. Only the
/// names of the filter count: changes are told of whole series.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn series_changes(
    client: &Client,
    filter: &Filter,
    limit: usize,
    after: Option<SeriesCursor>,
    timeout: Duration,
) -> Result<SeriesChangesPage, ReportError> {
    let snapshot = LimitedReads::begin(client, timeout).await?;
    let successes = "count(*) filter (where status = 'success')";
    let (found, more) = page(&snapshot, filter, limit, after, successes).await?;
    let names: Vec<Series> = found.iter().map(|(series, _)| series.clone()).collect();
    let mut changes = read_all(&snapshot, &names).await?;
    let unseen = unseen(&snapshot, &names).await?;
    let with_changes = found.into_iter().map(|(series, runs)| SeriesChanges {
        changes: changes.remove(&series).unwrap_or_default(),
        is_unseen: unseen.contains(&series),
        runs,
        series,
    });
    let series: Vec<SeriesChanges> = with_changes.collect();
    let next = series.last().filter(|_| more).map(|last| cursor::encode(&last.series, &list(filter)));
    Ok(SeriesChangesPage { series, next })
}

/// Reads the changes that were told of these series, also withdrawn ones, oldest first. Series without changes are absent.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn changes_of(
    client: &Client,
    series: &[Series],
    timeout: Duration,
) -> Result<BTreeMap<Series, Vec<ToldChange>>, ReportError> {
    read_all(&*LimitedReads::begin(client, timeout).await?, series).await
}

/// Reads a change; `None` if there is none of this id.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn change(client: &Client, id: Uuid, timeout: Duration) -> Result<Option<ToldChange>, ReportError> {
    read_one(&*LimitedReads::begin(client, timeout).await?, id).await
}

/// Reads a change in the client's transaction.
pub(crate) async fn read_one(client: &Client, id: Uuid) -> Result<Option<ToldChange>, ReportError> {
    let query = "select * from ci_changes_now where id = $1";
    let row = client.query_typed_opt(query, &[(&id, Type::UUID)]).await?;
    row.map(|row| read(&row)).transpose()
}

async fn read_all(client: &Client, series: &[Series]) -> Result<BTreeMap<Series, Vec<ToldChange>>, ReportError> {
    let mut parameters = Parameters::default();
    let wanted = wanted(&mut parameters, series);
    let query = format!(
        "select * from ci_changes_now
         where (service, command, environment) in ({wanted})
         order by changed_at, number"
    );
    let mut all: BTreeMap<Series, Vec<ToldChange>> = BTreeMap::new();
    for row in client.query_typed(&query, &parameters.typed()).await? {
        let change = read(&row)?;
        all.entry(change.series.clone()).or_default().push(change);
    }
    Ok(all)
}

/// Returns those of the series that have runs that were not looked at.
async fn unseen(client: &Client, series: &[Series]) -> Result<Vec<Series>, ReportError> {
    let mut parameters = Parameters::default();
    let wanted = wanted(&mut parameters, series);
    let query = format!(
        "select distinct service, command, environment from ci_unseen
         where (service, command, environment) in ({wanted})"
    );
    client.query_typed(&query, &parameters.typed()).await?.iter().map(read_series).collect()
}

/// Adds the names of series. Returns the rows of them.
fn wanted<'a>(parameters: &mut Parameters<'a>, series: &'a [Series]) -> String {
    let mut names = |name: fn(&Series) -> &String| {
        let names: Vec<&str> = series.iter().map(|series| name(series).as_str()).collect();
        parameters.push(Type::TEXT_ARRAY, names)
    };
    let services = names(|series| &series.service);
    let commands = names(|series| &series.command);
    let environments = names(|series| &series.environment);
    format!("select * from unnest({services}, {commands}, {environments})")
}

fn read(row: &Row) -> Result<ToldChange, ReportError> {
    const UNREADABLE: ReportError = ReportError::Row("ci_changes");
    let before = row.try_get("before_seconds")?;
    let after = row.try_get("after_seconds")?;
    let note: Option<String> = row.try_get("note")?;
    let acknowledgement = note.map(|note| {
        let (version, by) = read_answer(row, "answer_version")?;
        Ok::<_, ReportError>(Acknowledgement { version, note, at: read_time(row, "made_at")?, by })
    });
    Ok(ToldChange {
        id: row.try_get("id")?,
        series: read_series(row)?,
        change: Regression {
            changed_at: read_time(row, "changed_at")?,
            first_run_id: row.try_get("run_id")?,
            first_commit_sha: row.try_get("commit_sha")?,
            before_median_seconds: before,
            after_median_seconds: after,
            change_percent: percent(before, after),
            p_value: row.try_get("p_value")?,
            possible_causes: row.try_get("possible_causes")?,
        },
        state: state_named(row.try_get("state")?, row.try_get("reason")?).ok_or(UNREADABLE)?,
        low_confidence: row.try_get("low_confidence")?,
        told_at: read_time(row, "told_at")?,
        confirmed_at: read_optional_time(row, "confirmed_at")?,
        withdrawn_at: read_optional_time(row, "withdrawn_at")?,
        is_over: row.try_get("is_over")?,
        needs_attention: row.try_get("needs_attention")?,
        acknowledgement: acknowledgement.transpose()?,
    })
}

/// Reads the number of an answer, and who gave it.
pub(crate) fn read_answer(row: &Row, version: &str) -> Result<(u32, Uuid), ReportError> {
    const UNREADABLE: ReportError = ReportError::Row("ci_acknowledgements");
    let version: i32 = row.try_get(version)?;
    let subject: &str = row.try_get("subject")?;
    let subject: Subject = serde_json::from_str(subject).map_err(|_| UNREADABLE)?;
    Ok((version.try_into().map_err(|_| UNREADABLE)?, subject.id()))
}
