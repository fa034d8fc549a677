//! What a month's runs say about a target.

use rust_decimal::Decimal;
use tokio_postgres::Client;

use super::{ReportError, count};
use crate::{CiStatus, Measure, Month, Target, Verdict, evidence::Measured};
use postgres::instant;

/// The most objects that are named for one target.
pub const MOST_OBJECTS: usize = 4000;

/// What was measured for a target, and what that rests on.
#[derive(Debug)]
pub struct Evidence {
    /// The target.
    pub target: Target,
    /// What was measured.
    pub measured: Measured,
    /// What that means.
    pub verdict: Verdict,
    /// The objects of the runs it was computed from, by key; the first of them, if there are more than asked for.
    pub objects: Vec<EvidenceObject>,
}

/// A document in the metrics bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceObject {
    /// Its key.
    pub key: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
}

/// Measures a target by the runs that began in a month, UTC. Value and objects, of which at most `most` are named, are of
/// one snapshot.
///
/// # Errors
/// When the database fails.
pub async fn evidence(client: &Client, target: Target, month: Month, most: usize) -> Result<Evidence, ReportError> {
    // A share of whole numbers, so that its comparison with the bound is exact as far as numeric divides: 16 digits.
    let value = match target.measure {
        Measure::P95DurationSeconds => "percentile_disc(0.95) within group (order by duration_seconds)",
        Measure::SuccessRate => "count(*) filter (where status = 'success')::numeric / nullif(count(*), 0)",
    };
    let query = format!(
        "with counted as (
             select status, duration_seconds, object_key, object_version from ci_runs
             where service = $1 and command = $2 and started_at >= $3 and started_at < $4 and status = any($5)),
         named as (select object_key, object_version from counted order by object_key limit $6)
         select count(*), {value},
                (select coalesce(array_agg(object_key order by object_key), '{{}}') from named),
                (select coalesce(array_agg(object_version order by object_key), '{{}}') from named)
         from counted"
    );
    let (start, end) = (instant(month.start()), instant(month.end()));
    let statuses: Vec<&str> = target.measure.statuses().iter().copied().map(CiStatus::name).collect();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let row = client.query_one(&query, &[&target.service, &target.command, &start, &end, &statuses, &most]).await?;
    let measured = Measured { runs: count(row.try_get(0)?), value: row.try_get::<_, Option<Decimal>>(1)? };
    let (keys, versions): (Vec<String>, Vec<Option<String>>) = (row.try_get(2)?, row.try_get(3)?);
    let objects = keys.into_iter().zip(versions).map(|(key, version)| EvidenceObject { key, version }).collect();
    Ok(Evidence { verdict: target.judge(measured), target, measured, objects })
}
