//! Booked files, and whether the figures of their months are still theirs.

use std::collections::BTreeMap;

use domain::{Job, Month, ledger::BookedMonth};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use jobs::{JobsError, JobsTable};
use manifest::TotalsView;
use serde::Serialize;
use utoipa::ToSchema;

use crate::instant::whole_second;

/// Months that are looked up at the same time.
const MAX_CONCURRENT_READS: usize = 16;

/// The month for which a file is booked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BookedFor)]
pub(super) struct BookedView {
    /// The calendar month in UTC.
    #[schema(value_type = String, example = "2024-01")]
    period: Month,
    /// The version of the booking.
    version: u32,
    /// Whether the figures are still those of the file.
    restatement: RestatementView,
}

/// Whether the figures of a booked month are still those of the booked file. They are compared each night, row by row.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Restatement)]
pub(crate) struct RestatementView {
    /// The state.
    state: StateView,
    /// The time of the last comparison; absent if there was none since the booking.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    compared_at: Option<Timestamp>,
    /// The time of the first comparison that found other figures; absent unless `restated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    restated_since: Option<Timestamp>,
    /// The sums of the file that would be made now; absent unless `restated`. `…/changes` has the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    present_totals: Option<TotalsView>,
    /// The number of rows of the file that would be made now; absent unless `restated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    present_row_count: Option<u64>,
}

/// The states of a booked month.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = RestatementState)]
enum StateView {
    /// The figures were those of the booked file.
    AsBooked,
    /// The figures are not those of the booked file.
    Restated,
    /// They were not compared since the booking.
    NotCompared,
}

impl RestatementView {
    /// Creates the view of what is known of a booked month.
    pub(crate) fn of(month: Option<&BookedMonth>) -> Self {
        let compared_at = month.and_then(|month| month.checked_at);
        let restated = month.and_then(|month| month.restated.as_ref());
        Self {
            state: match (restated, compared_at) {
                (Some(_), _) => StateView::Restated,
                (None, Some(_)) => StateView::AsBooked,
                (None, None) => StateView::NotCompared,
            },
            compared_at: compared_at.map(whole_second),
            restated_since: restated.map(|restated| whole_second(restated.since)),
            present_totals: restated.map(|restated| restated.totals.into()),
            present_row_count: restated.map(|restated| restated.row_count),
        }
    }
}

/// Returns for each of some jobs of an organization the month for which its file is booked. Each month is looked up once.
pub(super) async fn booked(jobs: &JobsTable, list: &[Job]) -> Result<Vec<Option<BookedView>>, JobsError> {
    let month = |job: &Job| {
        let has_file = job.expires_at().is_some();
        has_file.then(|| job.request().whole_month().map(|month| (job.org(), month))).flatten()
    };
    let wanted: BTreeMap<_, ()> = list.iter().filter_map(month).map(|key| (key, ())).collect();
    let looks =
        wanted.into_keys().map(|key| async move { Ok::<_, JobsError>((key, jobs.booked(key.0, key.1).await?)) });
    let found: BTreeMap<_, _> = stream::iter(looks).buffer_unordered(MAX_CONCURRENT_READS).try_collect().await?;
    let of = |job: &Job| {
        let booked = found.get(&month(job)?)?.as_ref().filter(|booked| booked.job == job.id())?;
        Some(BookedView {
            period: booked.month,
            version: booked.version,
            restatement: RestatementView::of(Some(booked)),
        })
    };
    Ok(list.iter().map(of).collect())
}
