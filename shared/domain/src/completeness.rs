//! The completeness of figures: the watermark up to which they hold, and the reasons for which they may still change.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Maximum number of waiting hours that are listed. Their number is exact, whatever is listed.
pub const MAX_LISTED_HOURS: usize = 24;

/// The completeness of the figures of a range at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Completeness {
    /// All events of the range that were received before are in the figures. `None` before the first refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Timestamp>,
    /// The first hours of the range with events that are not in the figures, at most [`MAX_LISTED_HOURS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_hours: Vec<Timestamp>,
    /// The reasons for which the figures are provisional. Final figures have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// Events of the range that were refused and are in no figure: too late, or ahead of their time.
    #[serde(default)]
    pub refused_events: u64,
    /// The time of the last change of the figures, to the microsecond; `None` before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
}

/// The two degrees of completeness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = CompletenessStatus))]
pub enum CompletenessStatus {
    /// All events that were received before the watermark are in, and the watermark is past the range.
    Final,
    /// Usage may be missing, for the reasons given.
    Provisional,
}

/// A reason for which figures are provisional, with the buckets that it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The kind of reason.
    pub code: ReasonCode,
    /// The number of buckets; 0 for a reason that concerns the whole range.
    #[serde(default)]
    pub buckets: u64,
    /// The start of the first of these buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// The start of the last of these buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ReasonCode {
    /// The range reaches into the running bucket, or into the future.
    RangeNotOver,
    /// No refresh of the rollups has ended yet.
    NotRefreshed,
    /// The watermark is not past the range: later events may be missing.
    AfterWatermark,
    /// Hours have events that are not in the figures yet.
    HoursWaiting,
    /// Hours could not be computed. They are retried.
    HoursFailed,
    /// Rollups of another origin differ from the raw events, and are kept.
    RollupsDiffer,
    /// Events arrived for buckets before the organization's cut-over, and are not counted.
    BeforeCutOver,
    /// Raw events were dropped before they could be counted.
    EventsDropped,
    /// The rollups come from another pipeline, whose completeness is not known here.
    CountedElsewhere,
    /// The organization waits for late usage: by its settings, no range is final before some days after its end.
    LateUsageAwaited,
}

impl Reason {
    /// Creates a reason that concerns the whole range.
    pub const fn of_range(code: ReasonCode) -> Self {
        Self { code, buckets: 0, first: None, last: None }
    }

    /// Creates a reason that concerns the buckets with these starts; `None` if there are none.
    pub fn of_buckets(code: ReasonCode, starts: impl Iterator<Item = Timestamp> + Clone) -> Option<Self> {
        let first = starts.clone().min()?;
        Some(Self { code, buckets: starts.clone().count() as u64, first: Some(first), last: starts.max() })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.code {
            ReasonCode::RangeNotOver => "the range is not over",
            ReasonCode::NotRefreshed => "the rollups have not been refreshed yet",
            ReasonCode::AfterWatermark => "events received after the watermark may be missing",
            ReasonCode::HoursWaiting => "events are not counted yet",
            ReasonCode::HoursFailed => "events could not be counted and are retried",
            ReasonCode::RollupsDiffer => "rollups of another origin differ from the raw events and are kept",
            ReasonCode::BeforeCutOver => "events before the organization's cut-over are not counted",
            ReasonCode::EventsDropped => "raw events were dropped before they could be counted",
            ReasonCode::CountedElsewhere => {
                "the rollups come from another pipeline, whose completeness is not known here"
            }
            ReasonCode::LateUsageAwaited => {
                "by the organization's settings late usage is awaited for some days after the range's end"
            }
        })?;
        let (Some(first), Some(last)) = (self.first, self.last) else { return Ok(()) };
        if first == last {
            write!(f, " (bucket {first})")
        } else {
            write!(f, " ({} buckets from {first} to {last})", self.buckets)
        }
    }
}

impl Completeness {
    /// Returns the degree that follows from the reasons.
    pub const fn status(&self) -> CompletenessStatus {
        if self.reasons.is_empty() { CompletenessStatus::Final } else { CompletenessStatus::Provisional }
    }

    /// Returns the completeness for an organization by whose settings the range is not final before `final_from`. A range
    /// that is not over needs no other reason.
    #[must_use]
    pub fn awaiting_late_usage(mut self, final_from: Timestamp, now: Timestamp) -> Self {
        let is_over = self.reasons.iter().all(|reason| reason.code != ReasonCode::RangeNotOver);
        if is_over && now < final_from {
            self.reasons.push(Reason::of_range(ReasonCode::LateUsageAwaited));
        }
        self
    }

    /// Reports whether nothing that this service knows of is missing: the figures are final, or come from another
    /// pipeline.
    pub fn is_final_or_unknown(&self) -> bool {
        self.reasons.iter().all(|reason| reason.code == ReasonCode::CountedElsewhere)
    }

    /// Reports whether a later change of the figures can be detected: not if another pipeline makes them.
    pub fn tells_changes(&self) -> bool {
        self.reasons.iter().all(|reason| reason.code != ReasonCode::CountedElsewhere)
    }

    /// Returns the warnings for readers of the figures; none if they are final and nothing was refused.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.reasons.is_empty() {
            let reasons: Vec<String> = self.reasons.iter().map(Reason::to_string).collect();
            let mut text = format!("The figures are provisional: {}.", reasons.join("; "));
            if let Some(watermark) = self.watermark {
                let _ = write!(text, " All events received before {watermark} are in.");
            }
            warnings.push(text);
        }
        if self.refused_events > 0 {
            let events = if self.refused_events == 1 { "event" } else { "events" };
            warnings.push(format!(
                "{} {events} of the range are not in the figures: refused, because they came after their day was \
                 dropped, or carry a time ahead of their receipt.",
                self.refused_events
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn figures_are_final_without_a_reason() {
        let done = Completeness { watermark: Some(at("2024-02-01T00:05:00Z")), ..Completeness::default() };
        assert_eq!((done.status(), done.warnings()), (CompletenessStatus::Final, Vec::new()));
        let refused = Completeness { refused_events: 3, ..done };
        assert_eq!(refused.status(), CompletenessStatus::Final);
        assert!(refused.warnings()[0].starts_with("3 events of the range are not in the figures"));
    }

    #[test]
    fn figures_are_final_only_after_the_days_of_the_settings() {
        let settings = crate::Settings { final_after_days: 2, ..crate::Settings::default() };
        let final_from = settings.final_from(at("2024-02-01T00:00:00Z"));
        let of = |now: &str| Completeness::default().awaiting_late_usage(final_from, at(now));
        assert_eq!(of("2024-02-02T23:59:59Z").status(), CompletenessStatus::Provisional);
        assert!(!of("2024-02-02T23:59:59Z").is_final_or_unknown());
        assert_eq!(of("2024-02-03T00:00:00Z").status(), CompletenessStatus::Final);
        let not_over =
            Completeness { reasons: vec![Reason::of_range(ReasonCode::RangeNotOver)], ..Completeness::default() };
        assert_eq!(not_over.clone().awaiting_late_usage(final_from, at("2024-01-15T00:00:00Z")), not_over);
    }

    #[test]
    fn a_warning_names_the_watermark_and_the_buckets() {
        let hours = [at("2024-01-31T21:00:00Z"), at("2024-01-31T23:00:00Z")];
        let waiting = Completeness {
            watermark: Some(at("2024-01-31T21:12:00Z")),
            reasons: vec![
                Reason::of_range(ReasonCode::AfterWatermark),
                Reason::of_buckets(ReasonCode::HoursWaiting, hours.into_iter()).unwrap(),
                Reason::of_buckets(ReasonCode::HoursFailed, hours[..1].iter().copied()).unwrap(),
            ],
            ..Completeness::default()
        };
        assert_eq!(
            waiting.warnings(),
            ["The figures are provisional: events received after the watermark may be missing; events are not \
                 counted yet (2 buckets from 2024-01-31T21:00:00Z to 2024-01-31T23:00:00Z); events could not be \
                 counted and are retried (bucket 2024-01-31T21:00:00Z). All events received before \
                 2024-01-31T21:12:00Z are in."]
        );
        assert_eq!(Reason::of_buckets(ReasonCode::HoursWaiting, [].into_iter()), None);
    }
}
