//! `GET …/usage/troubles`: the buckets of an organization that could not be computed, or whose rollups differ.

use std::sync::Arc;

use auth::Permission;
use axum::{Extension, Json, extract::State};
use jiff::Timestamp;
use platform::Deadline;
use postgres::LimitedReads;
use serde::Serialize;
use usage::ListedTrouble;
use utoipa::ToSchema;

use crate::{context::Context, instant::whole_second, problem::Problem, query::Query, scope::OrgScope};

/// A page of troubles.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TroubleList {
    /// The troubles, the oldest buckets first.
    items: Vec<TroubleView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A bucket whose rollups are not what its raw events say.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Trouble)]
struct TroubleView {
    /// `hour` or `day`.
    bucket: String,
    /// The first instant of the bucket.
    #[schema(value_type = String, format = DateTime)]
    bucket_start: Timestamp,
    /// `failed`: refused by the rollup table, and retried. `adopted`: made elsewhere and different. `fewer_events`:
    /// rollups count more than the raw events. `before_cut_over`: events before the cut-over. `abandoned`: raw events
    /// dropped before they were counted.
    kind: String,
    /// A sentence.
    reason: String,
    /// The code of the database's error, if an error was the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<String>,
    /// The number of times it was found.
    attempts: i32,
    /// The raw events that are in no rollup, if they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<i64>,
    /// The time at which it was first found.
    #[schema(value_type = String, format = DateTime)]
    first_at: Timestamp,
    /// The time at which it was last found.
    #[schema(value_type = String, format = DateTime)]
    last_at: Timestamp,
    /// The time of the next attempt, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    next_try_at: Option<Timestamp>,
}

/// Lists the buckets of an organization that could not be computed, or whose rollups differ from the raw events.
///
/// Exports that contain such a bucket are provisional.
#[utoipa::path(
    get, path = "/orgs/{orgId}/usage/troubles", tag = "usage", operation_id = "listTroubles",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        (
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of troubles; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page",
        ),
    ),
    responses((status = 200, description = "A page of troubles", body = TroubleList)),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    Extension(deadline): Extension<Deadline>,
    mut query: Query,
) -> Result<Json<TroubleList>, Problem> {
    let org = scope.require(Permission::ReadUsage).await?;
    let limit = query.limit();
    let after = query.optional_with("cursor", usage::trouble_cursor);
    query.finish(Some(()))?;
    let client = context.database.client().await?;
    let reads = LimitedReads::begin(&client, deadline.left()).await?;
    let page = usage::troubles(&reads, org, after.as_ref(), limit).await?;
    Ok(Json(TroubleList { items: page.troubles.into_iter().map(TroubleView::from).collect(), next_cursor: page.next }))
}

impl From<ListedTrouble> for TroubleView {
    fn from(trouble: ListedTrouble) -> Self {
        Self {
            bucket: trouble.bucket,
            bucket_start: whole_second(trouble.bucket_start),
            kind: trouble.kind,
            reason: trouble.reason,
            sqlstate: trouble.sqlstate,
            attempts: trouble.attempts,
            events: trouble.events,
            first_at: whole_second(trouble.first_at),
            last_at: whole_second(trouble.last_at),
            next_try_at: trouble.next_try_at.map(whole_second),
        }
    }
}
