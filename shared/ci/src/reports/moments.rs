//! The successful runs of one series as a chart needs them: when, and how long.

use std::time::Duration;

use jiff::Timestamp;
use postgres::LimitedReads;
use tokio_postgres::{Client, types::Type};

use super::{Filter, ReportError, read_time, rows};
use crate::sql::Parameters;

/// A successful run.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the names are those of `CiRun`")]
pub struct Moment {
    pub at: Timestamp,
    pub duration_seconds: f64,
}

/// Reads the latest `limit` successful runs of a filter, oldest first.
///
/// The server ends the statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn moments(
    client: &Client,
    filter: &Filter,
    limit: usize,
    timeout: Duration,
) -> Result<Vec<Moment>, ReportError> {
    let mut parameters = Parameters::default();
    let condition = filter.conditions(&mut parameters).all();
    let limit = parameters.push(Type::INT8, rows(limit));
    let query = format!(
        "select started_at, duration_seconds::float8
         from ci_runs
         where status = 'success' and {condition}
         order by started_at desc, id desc
         limit {limit}"
    );
    let snapshot = LimitedReads::begin(client, timeout).await?;
    let mut moments = Vec::new();
    for row in snapshot.query_typed(&query, &parameters.typed()).await? {
        let at = read_time(&row, "started_at")?;
        moments.push(Moment { at, duration_seconds: row.try_get("duration_seconds")? });
    }
    moments.reverse();
    Ok(moments)
}
