//! An event as it is told: the detail on the event bus and the data of a webhook's request.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Event, FigureState};
use crate::{Granularity, JobId, Month, OrgId, TimeRange, measures::cost_text};

/// The version of the detail. Fields may be added to a version; a change of a field's meaning is another version.
pub const VERSION: u32 = 1;

/// The detail of an event. Absent values are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// The id, the same each time the event is told.
    pub event_id: Uuid,
    /// [`VERSION`].
    pub version: u32,
    /// The time at which it happened.
    pub occurred_at: Timestamp,
    /// The organization.
    pub org_id: OrgId,
    /// The job.
    pub job_id: JobId,
    /// The month, if the file has exactly one with all models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Month>,
    /// The length of the file's buckets.
    pub granularity: Granularity,
    /// The range of the buckets.
    pub time_range: TimeRange,
    /// The number of models that the file is limited to; absent if it has all models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_count: Option<usize>,
    /// The sums; absent without a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<TotalsDetail>,
    /// The number of the file's rows; absent without a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_count: Option<u64>,
    /// The state of the figures.
    pub state: FigureState,
    /// The reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The sums, as a job has them: counts are numbers, the cost is text with four decimals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TotalsDetail {
    /// The sum of `request_count`.
    pub request_count: i128,
    /// The sum of `tokens_total`.
    pub tokens_total: i128,
    /// The sum of `error_count`.
    pub error_count: i128,
    /// The sum of `cost_total` in dollars.
    pub cost_total: String,
}

impl From<&Event> for Detail {
    fn from(event: &Event) -> Self {
        let totals = event.totals.map(|totals| {
            let ([request_count, tokens_total, error_count], cost) = totals.into_parts();
            TotalsDetail { request_count, tokens_total, error_count, cost_total: cost_text(cost) }
        });
        Self {
            event_id: event.id,
            version: VERSION,
            occurred_at: event.occurred_at,
            org_id: event.org,
            job_id: event.job,
            period: event.period,
            granularity: event.granularity,
            time_range: event.range,
            model_count: event.model_count,
            totals,
            row_count: event.row_count,
            state: event.state,
            error: event.error.clone(),
        }
    }
}
