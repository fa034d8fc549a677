//! The list of troubles of all organizations, for operators.

use jiff::Timestamp;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::at::At;
use domain::OrgId;
use postgres::DatabaseError;

/// A bucket of an organization whose rollups are not what its raw events say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTrouble {
    /// The organization.
    pub org_id: OrgId,
    /// `hour` or `day`.
    pub bucket: String,
    /// The first instant of the bucket.
    pub bucket_start: Timestamp,
    /// The kind; see [`TroubleKind`](crate::TroubleKind).
    pub kind: String,
    /// A sentence without values of rows.
    pub reason: String,
    /// The server's code, where an error was the cause.
    pub sqlstate: Option<String>,
    /// The number of times it was found so.
    pub attempts: i32,
    /// The raw events that are in no rollup, where they are counted.
    pub events: Option<i64>,
    /// The time at which it was first found.
    pub first_at: Timestamp,
    /// The time at which it was last found.
    pub last_at: Timestamp,
    /// The time of the next attempt, if there is one.
    pub next_try_at: Option<Timestamp>,
}

/// The place in the list after which a page begins.
pub type TroublePlace = (Timestamp, OrgId, String, Timestamp);

/// Returns at most `limit` troubles of one organization or of all, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn troubles(
    client: &Client,
    org: Option<OrgId>,
    after: Option<&TroublePlace>,
    limit: u32,
) -> Result<Vec<ListedTrouble>, DatabaseError> {
    let query = "select organization_id, bucket, bucket_start, kind, reason, sqlstate, attempts, events, first_at,
                        last_at, next_try_at
                 from usage_troubles
                 where ($1::uuid is null or organization_id = $1)
                   and ($2::timestamptz is null
                        or (first_at, organization_id, bucket, bucket_start)
                           > ($2, $3::uuid, $4::text, $5::timestamptz))
                 order by first_at, organization_id, bucket, bucket_start
                 limit $6";
    let first_at = after.map(|place| At(place.0));
    let after_org = after.map(|place| place.1.uuid());
    let bucket = after.map(|place| place.2.as_str());
    let start = after.map(|place| At(place.3));
    let org = org.map(OrgId::uuid);
    let rows = client.query(query, &[&org, &first_at, &after_org, &bucket, &start, &i64::from(limit)]).await?;
    rows.iter()
        .map(|row| {
            Ok(ListedTrouble {
                org_id: row.try_get::<_, Uuid>(0)?.into(),
                bucket: row.try_get(1)?,
                bucket_start: row.try_get::<_, At>(2)?.0,
                kind: row.try_get(3)?,
                reason: row.try_get(4)?,
                sqlstate: row.try_get(5)?,
                attempts: row.try_get(6)?,
                events: row.try_get(7)?,
                first_at: row.try_get::<_, At>(8)?.0,
                last_at: row.try_get::<_, At>(9)?.0,
                next_try_at: row.try_get::<_, Option<At>>(10)?.map(|At(at)| at),
            })
        })
        .collect()
}
