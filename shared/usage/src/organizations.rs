//! The organizations with usage in a range.

use tokio_postgres::Client;
use uuid::Uuid;

use super::{UsageError, at::At, attached::check_attached};
use domain::{OrgId, TimeRange};
use postgres::tables;

/// Reads one page: of the rollups, and of the usage that is in no rollup yet, so that an organization whose only usage
/// came late is among them. With an index of the rollups that begins with the organization, as ours does, the server
/// reads only that page; without one, as in a platform's own table, it reads the whole table for each page.
const QUERY: &str = "
    select organization_id
    from (
        (select distinct r.organization_id
         from analytics_daily_rollups r
         where r.bucket_start >= $1::timestamptz and r.bucket_start < $2::timestamptz
           and ($3::uuid is null or r.organization_id > $3)
         order by 1 limit $4)
        union
        (select distinct organization_id
         from usage_dirty_hours
         where hour >= $1 and hour < $2 and ($3 is null or organization_id > $3)
         order by 1 limit $4)
        union
        (select distinct organization_id
         from usage_troubles
         where bucket_start >= $1 and bucket_start < $2 and ($3 is null or organization_id > $3)
         order by 1 limit $4)
    ) page
    order by 1
    limit $4";

/// Returns at most `limit` organizations that have usage in the range, in the order of their ids, beginning after
/// `after`.
///
/// # Errors
/// When partitions of the range are detached, or the database does not answer.
pub async fn organizations(
    client: &Client,
    range: TimeRange,
    after: Option<OrgId>,
    limit: u32,
) -> Result<Vec<OrgId>, UsageError> {
    let after = after.map(OrgId::uuid);
    let rows = client.query(QUERY, &[&At(range.start()), &At(range.end()), &after, &i64::from(limit)]).await?;
    check_attached(client, tables::DAILY_ROLLUPS, range.start(), range.end()).await?;
    rows.iter().map(|row| Ok(row.try_get::<_, Uuid>(0)?.into())).collect()
}
