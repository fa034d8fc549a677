//! The organizations with usage in a range.

use tokio_postgres::Client;
use uuid::Uuid;

use super::{UsageError, attached::check_attached, to_system_time};
use domain::{OrgId, TimeRange};
use postgres::tables;

/// Reads one page. With an index that begins with the organization, as ours does, the server reads only that page;
/// without one, as in a platform's own table, it reads the whole table for each page.
const QUERY: &str = "
    select distinct r.organization_id
    from analytics_daily_rollups r
    where r.bucket_start >= $1::timestamptz and r.bucket_start < $2::timestamptz
      and ($3::uuid is null or r.organization_id > $3)
    order by 1
    limit $4";

/// Returns at most `limit` organizations that have daily rollups in the range, in the order of their ids, beginning
/// after `after`.
///
/// # Errors
/// When partitions of the range are detached, or the database does not answer.
pub async fn organizations(
    client: &Client,
    range: TimeRange,
    after: Option<OrgId>,
    limit: u32,
) -> Result<Vec<OrgId>, UsageError> {
    let start = to_system_time(range.start());
    let end = to_system_time(range.end());
    let after = after.map(OrgId::uuid);
    let rows = client.query(QUERY, &[&start, &end, &after, &i64::from(limit)]).await?;
    check_attached(client, tables::DAILY_ROLLUPS, range.start(), range.end()).await?;
    rows.iter().map(|row| Ok(row.try_get::<_, Uuid>(0)?.into())).collect()
}
