//! The evidence for a target in a month.

use std::time::Duration;

use domain::Month;
use postgres::{LimitedReads, to_system_time};
use rust_decimal::Decimal;
use tokio_postgres::{Client, types::Type};

use super::{ReportError, read_count, rows, runs::REPLACEMENTS};
use crate::{CiStatus, Measure, Target, Verdict, sql::Parameters, target::Measured};

/// The maximum number of objects that are named for one target.
pub const MAX_OBJECTS: usize = 4000;

/// The measurement of a target, and the objects that it rests on.
#[derive(Debug)]
pub struct Evidence {
    /// The target.
    pub target: Target,
    /// The measurement.
    pub measured: Measured,
    /// The verdict on it.
    pub verdict: Verdict,
    /// The number of measured runs that other objects told of, too.
    pub replaced_runs: u64,
    /// The objects of the runs that were measured, by key; the first of them, if there are more than asked for.
    pub objects: Vec<EvidenceObject>,
}

/// A document in the metrics bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceObject {
    /// Its key.
    pub key: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
    /// Its entity tag, without quotes.
    pub etag: String,
    /// The SHA-256 of its bytes when its run was read from them; `None` if it was read when none was recorded.
    pub sha256: Option<Vec<u8>>,
    /// The number of other objects that told of its run and do not count.
    pub replacements: u64,
}

impl Evidence {
    /// Returns the number of measured runs whose objects are not named.
    pub fn left_out(&self) -> u64 {
        self.measured.runs.saturating_sub(self.objects.len() as u64)
    }
}

/// Measures a target by the runs that began in a month, UTC. At most `max_objects` objects are named. The measurement
/// and the objects are of one snapshot.
///
/// The server ends each statement after `timeout`.
///
/// # Errors
/// When the database fails.
pub async fn evidence(
    client: &Client,
    target: Target,
    month: Month,
    max_objects: usize,
    timeout: Duration,
) -> Result<Evidence, ReportError> {
    // A quotient of whole numbers: `numeric` computes it to 16 digits, and its comparison with the bound is exact to
    // these.
    let value = match target.measure {
        Measure::P95DurationSeconds => "percentile_disc(0.95) within group (order by duration_seconds)",
        Measure::SuccessRate => "count(*) filter (where status = 'success')::numeric / nullif(count(*), 0)",
    };
    let statuses: Vec<&str> = target.measure.statuses().iter().copied().map(CiStatus::name).collect();
    let mut parameters = Parameters::default();
    let service = parameters.text(&target.service);
    let command = parameters.text(&target.command);
    let start = parameters.push(Type::TIMESTAMPTZ, to_system_time(month.start()));
    let end = parameters.push(Type::TIMESTAMPTZ, to_system_time(month.end()));
    let statuses = parameters.push(Type::TEXT_ARRAY, statuses);
    let limit = parameters.push(Type::INT8, rows(max_objects));
    let query = format!(
        "with counted as (
             select status, duration_seconds, object_key, object_version, object_etag, object_sha256,
                    {REPLACEMENTS} from ci_runs
             where service = {service} and command = {command}
               and started_at >= {start} and started_at < {end} and status = any({statuses})),
         named as (select * from counted order by object_key limit {limit})
         select count(*) as runs, count(*) filter (where replacements > 0) as replaced_runs, ({value})::text as value,
                (select coalesce(array_agg(object_key order by object_key), '{{}}') from named) as keys,
                (select coalesce(array_agg(object_version order by object_key), '{{}}') from named) as versions,
                (select coalesce(array_agg(object_etag order by object_key), '{{}}') from named) as etags,
                (select coalesce(array_agg(object_sha256 order by object_key), '{{}}') from named) as checksums,
                (select coalesce(array_agg(replacements order by object_key), '{{}}') from named) as replacements
         from counted"
    );
    let snapshot = LimitedReads::begin(client, timeout).await?;
    let row = snapshot.query_typed_one(&query, &parameters.typed()).await?;
    drop(parameters);
    let value: Option<&str> = row.try_get("value")?;
    let value = value.map(Decimal::from_str_exact).transpose().map_err(|_| ReportError::Row("ci_runs"))?;
    let measured = Measured { runs: read_count(&row, "runs")?, value };
    let keys: Vec<String> = row.try_get("keys")?;
    let versions: Vec<Option<String>> = row.try_get("versions")?;
    let etags: Vec<String> = row.try_get("etags")?;
    let checksums: Vec<Option<Vec<u8>>> = row.try_get("checksums")?;
    let replacements: Vec<i64> = row.try_get("replacements")?;
    let mut objects = Vec::with_capacity(keys.len());
    let columns = keys.into_iter().zip(versions).zip(etags).zip(checksums).zip(replacements);
    for ((((key, version), etag), sha256), replacements) in columns {
        let replacements = replacements.try_into().map_err(|_| ReportError::Row("ci_replacements"))?;
        objects.push(EvidenceObject { key, version, etag, sha256, replacements });
    }
    let replaced_runs = read_count(&row, "replaced_runs")?;
    Ok(Evidence { verdict: target.judge(measured), target, measured, replaced_runs, objects })
}
