//! The completeness of figures, as the answers state it.

use domain::{
    completeness::{Completeness, CompletenessStatus, Reason, ReasonCode},
    instant::whole_second,
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// The completeness of the figures when they were read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Completeness)]
pub struct CompletenessView {
    /// `final` if all received usage of the range is in the figures; else `provisional`, for the reasons given.
    status: CompletenessStatus,
    /// All events of the range that were received before are in the figures; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    watermark: Option<Timestamp>,
    /// The first 24 hours of the range with events that are not in the figures.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    waiting_hours: Vec<Timestamp>,
    /// The reasons for which the figures are provisional.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    reasons: Vec<ReasonView>,
    /// The number of events of the range that were refused and are in no figure; absent if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    refused_events: u64,
}

/// A reason for which figures are provisional.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProvisionalReason)]
struct ReasonView {
    /// The kind of reason.
    code: ReasonCode,
    /// The number of buckets that it concerns; absent if it concerns the whole range.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    buckets: u64,
    /// The reason in words, with the first and the last of these buckets.
    detail: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<&Completeness> for CompletenessView {
    fn from(completeness: &Completeness) -> Self {
        Self {
            status: completeness.status(),
            // Rounded down, so that the statement stays true.
            watermark: completeness.watermark.map(whole_second),
            waiting_hours: completeness.waiting_hours.clone(),
            reasons: completeness.reasons.iter().map(ReasonView::from).collect(),
            refused_events: completeness.refused_events,
        }
    }
}

impl From<&Reason> for ReasonView {
    fn from(reason: &Reason) -> Self {
        Self { code: reason.code, buckets: reason.buckets, detail: reason.to_string() }
    }
}
