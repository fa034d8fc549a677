//! Events: what happened to an organization's exports and months, told to whoever listens.
//!
//! An event is a consequence of a job's state and has no other source, so the same state always gives the same events
//! with the same ids. It has ids and sums, no link, and no name of a person.

mod detail;

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::detail::{Detail, TotalsDetail, VERSION};
use super::{
    Completeness, Granularity, Job, JobId, Month, OrgId, State, TimeRange, Totals, completeness::ReasonCode,
    ledger::Restated,
};

/// The namespace of the ids of events.
const NAMESPACE: Uuid = Uuid::from_u128(0x7d1c_59f2_0f0e_4a52_9a3e_5b0c_6a9d_41e8);

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EventKind {
    /// A file is ready.
    #[serde(rename = "export.succeeded")]
    ExportSucceeded,
    /// A job ended without a file.
    #[serde(rename = "export.failed")]
    ExportFailed,
    /// The scheduled export of a month has final figures.
    #[serde(rename = "period.final")]
    PeriodFinal,
    /// The figures of a booked month have changed.
    #[serde(rename = "period.restated")]
    PeriodRestated,
}

/// Text that is not a kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a kind of event; use one of: export.succeeded, export.failed, period.final, period.restated")]
pub struct UnknownEvent;

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::ExportSucceeded, Self::ExportFailed, Self::PeriodFinal, Self::PeriodRestated];

    /// Returns the name in settings and in requests to webhooks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExportSucceeded => "export.succeeded",
            Self::ExportFailed => "export.failed",
            Self::PeriodFinal => "period.final",
            Self::PeriodRestated => "period.restated",
        }
    }

    /// Returns the detail type on the event bus.
    pub const fn detail_type(self) -> &'static str {
        match self {
            Self::ExportSucceeded => "ExportSucceeded",
            Self::ExportFailed => "ExportFailed",
            Self::PeriodFinal => "PeriodFinal",
            Self::PeriodRestated => "PeriodRestated",
        }
    }

    /// Returns the kind of this detail type.
    pub fn of_detail_type(detail_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.detail_type() == detail_type)
    }
}

impl FromStr for EventKind {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or(UnknownEvent)
    }
}

/// The state of an event's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FigureState {
    /// The range was not over when the file was made.
    Open,
    /// Usage may be missing.
    Provisional,
    /// All usage that was received before the watermark is in.
    Final,
    /// The figures have changed since the month was booked.
    Restated,
    /// There are no figures, or nobody knows how complete they are: another pipeline makes the rollups.
    Unknown,
}

impl FigureState {
    /// Returns the state of figures of this completeness; `None` is that of files of before it was recorded.
    pub fn of(completeness: Option<&Completeness>) -> Self {
        let Some(completeness) = completeness else { return Self::Unknown };
        let has = |code| completeness.reasons.iter().any(|reason| reason.code == code);
        if completeness.reasons.is_empty() {
            Self::Final
        } else if has(ReasonCode::CountedElsewhere) {
            Self::Unknown
        } else if has(ReasonCode::RangeNotOver) {
            Self::Open
        } else {
            Self::Provisional
        }
    }

    /// Returns the name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Provisional => "provisional",
            Self::Final => "final",
            Self::Restated => "restated",
            Self::Unknown => "unknown",
        }
    }
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The id, the same each time the event is told.
    pub id: Uuid,
    /// The kind.
    pub kind: EventKind,
    /// The time at which it happened.
    pub occurred_at: Timestamp,
    /// The organization.
    pub org: OrgId,
    /// The job whose file it is about.
    pub job: JobId,
    /// The month, if the file has exactly one with all models.
    pub period: Option<Month>,
    /// The length of the file's buckets.
    pub granularity: Granularity,
    /// The range of the buckets.
    pub range: TimeRange,
    /// The number of models that the file is limited to; `None` if it has all models.
    pub model_count: Option<usize>,
    /// The sums; `None` without a file.
    pub totals: Option<Totals>,
    /// The number of the file's rows; `None` without a file.
    pub row_count: Option<u64>,
    /// The state of the figures.
    pub state: FigureState,
    /// The reason of a failure, in words for the job's owner.
    pub error: Option<String>,
}

impl Event {
    /// Returns the events of a job that has just ended; none of a job in another state.
    pub fn of_end(job: &Job) -> Vec<Self> {
        match job.state() {
            State::Succeeded { completed_at, file, .. } => {
                let succeeded = Self {
                    totals: Some(file.totals),
                    row_count: Some(file.row_count),
                    state: FigureState::of(file.completeness.as_ref()),
                    ..Self::new(job, EventKind::ExportSucceeded, *completed_at)
                };
                let is_final = succeeded.state == FigureState::Final;
                let closes = job.subject().is_system() && succeeded.period.is_some() && is_final;
                let of_period = closes.then(|| {
                    let Self { id, kind, .. } = Self::new(job, EventKind::PeriodFinal, *completed_at);
                    Self { id, kind, ..succeeded.clone() }
                });
                [succeeded].into_iter().chain(of_period).collect()
            }
            State::Failed { completed_at, failure, .. } => {
                let failed = Self::new(job, EventKind::ExportFailed, *completed_at);
                vec![Self { error: Some(failure.to_string()), ..failed }]
            }
            State::Pending { .. } | State::Running { .. } | State::Expired { .. } => Vec::new(),
        }
    }

    /// Returns the event of a booked month whose figures are no longer those of the file that `job` made, and were others than
    /// the present ones until `found_at`. It has the present ones.
    pub fn restated(job: &Job, month: Month, restated: &Restated, found_at: Timestamp) -> Self {
        let Restated { since, checksum, row_count, totals } = restated;
        Self {
            id: id(EventKind::PeriodRestated, job.id(), &format!("{month} {since} {checksum}")),
            period: Some(month),
            totals: Some(*totals),
            row_count: Some(*row_count),
            state: FigureState::Restated,
            ..Self::new(job, EventKind::PeriodRestated, found_at)
        }
    }

    fn new(job: &Job, kind: EventKind, occurred_at: Timestamp) -> Self {
        let range = job.request().range;
        let month = Month::of(range.start());
        let model_count = job.request().models.as_ref().map(Vec::len);
        Self {
            id: id(kind, job.id(), &job.fence().to_string()),
            kind,
            occurred_at,
            org: job.org(),
            job: job.id(),
            period: (range.is_of(month) && model_count.is_none()).then_some(month),
            granularity: job.request().granularity,
            range,
            model_count,
            totals: None,
            row_count: None,
            state: FigureState::Unknown,
            error: None,
        }
    }
}

/// Returns the id of what happened once to a job: at the end of an attempt, whose number is `once`, or by new figures.
fn id(kind: EventKind, job: JobId, once: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{} {job} {once}", kind.name()).as_bytes())
}

#[cfg(test)]
mod tests;
