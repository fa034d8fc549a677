//! Who has usage in a range.

use tokio_postgres::Client;
use uuid::Uuid;

use super::instant;
use crate::{
    database::DatabaseError,
    domain::{OrgId, TimeRange},
};

/// Jumps from organization to organization in the index that begins with them: the work grows with the number of
/// organizations, not with that of their rows.
const QUERY: &str = "
    with recursive found as (
        (select r.organization_id
         from analytics_daily_rollups r
         where r.bucket_start >= $1::timestamptz and r.bucket_start < $2::timestamptz
           and ($3::uuid is null or r.organization_id > $3)
         order by r.organization_id
         limit 1)
        union all
        select (select r.organization_id
                from analytics_daily_rollups r
                where r.bucket_start >= $1::timestamptz and r.bucket_start < $2::timestamptz
                  and r.organization_id > found.organization_id
                order by r.organization_id
                limit 1)
        from found
        where found.organization_id is not null
    )
    select organization_id from found where organization_id is not null limit $4";

/// The organizations that have daily rollups in the range, in the order of their ids: those after `after`, and no more
/// than `limit`.
///
/// # Errors
/// When the database does not answer.
pub async fn organizations(
    client: &Client,
    range: TimeRange,
    after: Option<OrgId>,
    limit: u32,
) -> Result<Vec<OrgId>, DatabaseError> {
    let (start, end) = (instant(range.start()), instant(range.end()));
    let after = after.map(OrgId::uuid);
    let rows = client.query(QUERY, &[&start, &end, &after, &i64::from(limit)]).await?;
    rows.iter().map(|row| Ok(row.try_get::<_, Uuid>(0)?.into())).collect()
}
