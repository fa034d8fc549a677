//! The looks at series with new runs: they tell changes, and keep what was told.
//!
//! A look is one transaction: it takes the marks of the series, reads its runs and the changes told before, and writes the
//! changes that are told now with the events that tell of them. One that is broken off leaves everything as it was, with
//! the marks. Of two looks at one series at the same time the second does nothing.

mod events;
mod kept;

use std::time::Duration;

use jiff::Timestamp;
use postgres::{LimitedReads, LimitedWrites, to_system_time};
use tokio_postgres::{Client, types::Type};

pub use events::{ChangeEvent, Standing, mark_told, standing, untold};

use crate::{
    Series,
    change::EventKind,
    reports::{Filter, ReportError, SeriesRuns, read_series, with_runs},
    sql::Parameters,
};
use changepoints::State;
use kept::next;

/// What a look told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looked {
    /// The changes that were not told before.
    pub told: u32,
    /// The changes that were confirmed, also new ones.
    pub confirmed: u32,
    /// The changes that were withdrawn.
    pub withdrawn: u32,
    /// The events that wait to be told.
    pub events: u32,
}

/// Returns at most `limit` series with marks, the longest wait first.
///
/// # Errors
/// When the database fails.
pub async fn unseen(client: &Client, limit: usize, timeout: Duration) -> Result<Vec<Series>, ReportError> {
    let reads = LimitedReads::begin(client, timeout).await?;
    let query = "select service, command, environment from ci_unseen
                 group by service, command, environment
                 order by min(id)
                 limit $1";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = reads.query_typed(query, &[(&limit, Type::INT8)]).await?;
    rows.iter().map(read_series).collect()
}

/// Looks at a series. Returns `None` if there was nothing to do: another look is at it, or was just before.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails. Then nothing is changed, unless its answer to the commit was lost.
pub async fn look(
    client: &Client,
    series: &Series,
    now: Timestamp,
    timeout: Duration,
) -> Result<Option<Looked>, ReportError> {
    let writes = LimitedWrites::begin(client, timeout).await?;
    if !lock(&writes, series).await? || take_marks(&writes, series).await? == 0 {
        return Ok(None);
    }
    let known = kept::read(&writes, series).await?;
    let found = with_runs(&writes, &Filter::default(), vec![(series.clone(), 0)]).await?;
    let Some(SeriesRuns { runs, neighbours, .. }) = found.into_iter().next() else {
        return Err(ReportError::Row("ci_runs"));
    };
    let is_first = record_look(&writes, series, runs.len(), now).await?;
    let mut looked = Looked::default();
    for (number, kept) in next(&known, &runs, &neighbours, is_first, now).into_iter().enumerate() {
        let before = known.get(number);
        if before == Some(&kept) {
            continue;
        }
        let was = before.map(|before| before.change.state);
        looked.told += u32::from(was.is_none());
        looked.confirmed += u32::from(kept.change.state == State::Confirmed && was != Some(State::Confirmed));
        let is_withdrawn = |state| matches!(state, State::Withdrawn(_));
        looked.withdrawn += u32::from(is_withdrawn(kept.change.state) && !was.is_some_and(is_withdrawn));
        kept::write(&writes, series, number, &kept).await?;
        let kind = match (was, kept.change.state) {
            _ if kept.is_history => None,
            (Some(State::Confirmed), State::Withdrawn(_)) => Some(EventKind::Withdrawn),
            (Some(State::Confirmed), _) => None,
            (_, State::Confirmed) => Some(EventKind::Confirmed),
            _ => None,
        };
        if let Some(kind) = kind {
            events::add(&writes, kind, &kept.detail(series, number, kind, now)).await?;
            looked.events += 1;
        }
    }
    writes.commit().await?;
    Ok(Some(looked))
}

/// Keeps other looks away from a series until the end of the transaction. Reports whether no other is at it.
async fn lock(client: &Client, series: &Series) -> Result<bool, ReportError> {
    let Series { service, command, environment } = series;
    let mut parameters = Parameters::default();
    let [service, command, environment] = [service, command, environment].map(|name| parameters.text(name));
    // Not by 0, by which objects are locked.
    let query = format!(
        "select pg_try_advisory_xact_lock(hashtextextended(row({service}, {command}, {environment})::text, 1)) as is_mine"
    );
    Ok(client.query_typed_one(&query, &parameters.typed()).await?.try_get("is_mine")?)
}

/// Takes the marks of a series. Runs of which there is a mark are seen by later statements. Returns the number of marks.
async fn take_marks(client: &Client, series: &Series) -> Result<u64, ReportError> {
    let Series { service, command, environment } = series;
    let mut parameters = Parameters::default();
    let [service, command, environment] = [service, command, environment].map(|name| parameters.text(name));
    let statement =
        format!("delete from ci_unseen where (service, command, environment) = ({service}, {command}, {environment})");
    let types = parameters.typed();
    Ok(client.execute_typed(&statement, &types).await?)
}

/// Records a look. Reports whether it is the first one at the series.
async fn record_look(client: &Client, series: &Series, runs: usize, now: Timestamp) -> Result<bool, ReportError> {
    let Series { service, command, environment } = series;
    let mut parameters = Parameters::default();
    let [service, command, environment] = [service, command, environment].map(|name| parameters.text(name));
    let runs = parameters.push(Type::INT4, i32::try_from(runs).unwrap_or(i32::MAX));
    let now = parameters.push(Type::TIMESTAMPTZ, to_system_time(now));
    let statement = format!(
        "insert into ci_looks (service, command, environment, runs, looked_at)
         values ({service}, {command}, {environment}, {runs}, {now})
         on conflict on constraint ci_looks_series do update set runs = excluded.runs, looked_at = excluded.looked_at
         returning xmax = 0 as is_first"
    );
    Ok(client.query_typed_one(&statement, &parameters.typed()).await?.try_get("is_first")?)
}
