//! `GET /ci/rejections`: the rejected documents.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use ci::reports::{self, Rejection};
use jiff::Timestamp;
use platform::Deadline;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{context::Context, instant::whole_second, problem::Problem, query::Query, scope::CiReader};

/// A page of rejections.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RejectionList {
    /// The rejections, newest first.
    items: Vec<RejectionView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// The rejection of a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rejection)]
struct RejectionView {
    /// The key of the document.
    object_key: String,
    /// The version of the document; absent if the bucket keeps no versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    object_version: Option<String>,
    /// All mistakes in the document.
    reason: String,
    /// The time of the rejection.
    #[schema(value_type = String, format = DateTime)]
    rejected_at: Timestamp,
}

/// Lists the rejected telemetry documents with the reasons, newest first.
#[utoipa::path(
    get, path = "/ci/rejections", tag = "ci", operation_id = "listRejections",
    params(
        (
            "limit" = Option<u8>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of rejections; 50 by default",
        ),
        (
            "cursor" = Option<String>, Query, pattern = "^[A-Za-z0-9_-]+$",
            description = "`nextCursor` of the previous page",
        ),
    ),
    responses((status = 200, description = "A page of the rejected documents", body = RejectionList)),
    security(("bearer" = [])),
)]
pub(crate) async fn rejections(
    State(context): State<Arc<Context>>,
    _: CiReader,
    Extension(deadline): Extension<Deadline>,
    mut query: Query,
) -> Result<Json<RejectionList>, Problem> {
    let limit = query.limit();
    let after = query.optional_with("cursor", reports::rejection_cursor);
    query.finish(Some(()))?;
    let client = context.database.client().await?;
    let page = reports::rejections(&client, limit, after, deadline.left()).await?;
    Ok(Json(RejectionList {
        items: page.rejections.into_iter().map(RejectionView::from).collect(),
        next_cursor: page.next,
    }))
}

impl From<Rejection> for RejectionView {
    fn from(rejection: Rejection) -> Self {
        let Rejection { object_key, object_version, reason, rejected_at, .. } = rejection;
        Self { object_key, object_version, reason, rejected_at: whole_second(rejected_at) }
    }
}
