//! `GET …/deliveries`: what was to reach an organization outside of this service, and whether it did.

use std::sync::Arc;

use auth::Permission;
use axum::{Json, extract::State};
use domain::{Delivery, DeliveryKind, DeliveryState};
use jiff::Timestamp;
use jobs::{DeliveryCursor, List};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{context::Context, instant::whole_second, problem::Problem, query::Query, scope::OrgScope};

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryList {
    /// The deliveries, those of the newest events first.
    items: Vec<DeliveryView>,
    /// The cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A delivery and the outcome of its attempts so far.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery)]
struct DeliveryView {
    /// The id of the event that caused it.
    event_id: Uuid,
    /// The way.
    kind: DeliveryKind,
    /// The host of the webhook, or the bucket.
    target: String,
    /// The state.
    state: DeliveryState,
    /// The number of attempts.
    attempts: u32,
    /// The reason of the last failure; absent if no attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// The time of the event.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Timestamp,
    /// The time of the last change.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// Lists the deliveries of an organization's events, those of the newest events first. They are kept for 90 days.
#[utoipa::path(
    get, path = "/orgs/{orgId}/deliveries", tag = "deliveries", operation_id = "listDeliveries",
    params(
        ("orgId" = Uuid, Path, description = "The organization"),
        (
            "limit" = Option<u32>, Query, minimum = 1, maximum = 100,
            description = "Maximum number of deliveries; 50 by default",
        ),
        ("cursor" = Option<String>, Query, description = "`nextCursor` of an earlier answer"),
    ),
    responses((status = 200, description = "The deliveries", body = DeliveryList)),
    security(("bearer" = [])),
)]
pub(crate) async fn list(
    State(context): State<Arc<Context>>,
    scope: OrgScope,
    mut query: Query,
) -> Result<Json<DeliveryList>, Problem> {
    let org = scope.require(Permission::ReadSettings).await?;
    let list = List::Deliveries(org);
    let limit = query.limit();
    let after = query.optional_with("cursor", |text| DeliveryCursor::decode(text, &list));
    query.finish(Some(()))?;
    let page = context.jobs.deliveries(org, limit, after).await?;
    Ok(Json(DeliveryList {
        items: page.deliveries.into_iter().map(DeliveryView::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.encode(&list)),
    }))
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            event_id: delivery.event,
            kind: delivery.kind,
            target: delivery.target,
            state: delivery.state,
            attempts: delivery.attempts,
            last_error: delivery.last_error,
            occurred_at: whole_second(delivery.occurred_at),
            updated_at: whole_second(delivery.updated_at),
        }
    }
}
