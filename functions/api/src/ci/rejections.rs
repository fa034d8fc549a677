//! `GET /ci/rejections`: the documents that were not taken.

use std::sync::Arc;

use axum::{Json, extract::State};
use ci::reports::{self, Rejection};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{filter::Reader, seconds};
use crate::{
    context::Context,
    problem::Problem,
    query::{self, Parameters},
    scope::CiReader,
};

/// Some documents that were not taken.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RejectionList {
    /// The rejections, newest first.
    items: Vec<RejectionView>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A document that was not taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rejection)]
struct RejectionView {
    /// The object that holds it.
    object_key: String,
    /// That object's version; absent where the store keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    object_version: Option<String>,
    /// Every mistake in it.
    reason: String,
    /// When it was read.
    #[schema(value_type = String, format = DateTime)]
    rejected_at: Timestamp,
}

/// The telemetry documents that were not taken, and why, newest first.
#[utoipa::path(
    get, path = "/ci/rejections", tag = "ci", operation_id = "listRejections",
    params(
        ("limit" = Option<u8>, Query, minimum = 1, maximum = 100, description = "The most rejections to answer with; 50 if left out"),
        ("cursor" = Option<String>, Query, description = "nextCursor of the page before"),
    ),
    responses((status = 200, body = RejectionList)),
    security(("bearer" = [])),
)]
pub(crate) async fn rejections(
    State(context): State<Arc<Context>>,
    _: CiReader,
    parameters: Result<Parameters, Problem>,
) -> Result<Json<RejectionList>, Problem> {
    let [limit, cursor] = parameters?.take(["limit", "cursor"])?;
    let mut reader = Reader::default();
    let limit = reader.keep(query::limit(limit));
    let after = reader.read("cursor", cursor, reports::rejection_cursor).flatten();
    let limit = reader.finish(limit)?;
    let client = context.database.client().await?;
    let page = reports::rejections(&client, limit, after).await?;
    Ok(Json(RejectionList {
        items: page.rejections.into_iter().map(RejectionView::from).collect(),
        next_cursor: page.next,
    }))
}

impl From<Rejection> for RejectionView {
    fn from(rejection: Rejection) -> Self {
        let Rejection { object_key, object_version, reason, rejected_at, .. } = rejection;
        Self { object_key, object_version, reason, rejected_at: seconds(rejected_at) }
    }
}
