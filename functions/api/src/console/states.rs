//! The states of months and of files: a word and a shape, so that none is told by colour alone, and a sentence.

use domain::{
    Completeness, Failure, Job, State, Status,
    completeness::{CompletenessStatus, Reason, ReasonCode},
};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, Render, html};

use super::{
    number::count,
    shell::Shell,
    texts::{Texts, say},
    time,
};

/// The time after which a file that waits has waited longer than usual.
const LONG_WAIT: SignedDuration = SignedDuration::from_mins(15);

/// The state of a month's figures, or of those in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Degree {
    /// The period is not over.
    Open,
    /// Usage may be missing.
    Provisional,
    Final,
    /// The figures come from elsewhere, or are of before their completeness was recorded.
    Unknown,
    /// Another figure was booked.
    Changed,
    /// There is no usage.
    Empty,
    /// The figures are too old to be kept.
    NotKept,
    /// The period has not begun.
    Future,
}

impl Degree {
    /// Returns the degree of figures that are there.
    pub(super) fn of(completeness: &Completeness) -> Self {
        let is_open = completeness.reasons.iter().any(|reason| reason.code == ReasonCode::RangeNotOver);
        match completeness.status() {
            CompletenessStatus::Final => Self::Final,
            CompletenessStatus::Provisional if completeness.is_final_or_unknown() => Self::Unknown,
            CompletenessStatus::Provisional if is_open => Self::Open,
            CompletenessStatus::Provisional => Self::Provisional,
        }
    }

    /// Shows the state by a shape and a word.
    pub(super) fn badge(self, texts: &Texts) -> Markup {
        let (shape, word, class) = match self {
            Self::Open => ("○", texts.is_open, "open"),
            Self::Provisional => ("◐", texts.is_provisional, "provisional"),
            Self::Final => ("●", texts.is_final, "final"),
            Self::Unknown => ("◌", texts.is_unknown, "unknown"),
            Self::Changed => ("⚠", texts.is_changed, "changed"),
            Self::Empty => ("–", texts.is_empty, "empty"),
            Self::NotKept => ("–", texts.is_not_kept, "empty"),
            Self::Future => ("–", texts.is_future, "empty"),
        };
        badge(shape, word, class)
    }
}

fn badge(shape: &str, word: &str, class: &str) -> Markup {
    html! { span class={ "state " (class) } { span aria-hidden="true" { (shape) } " " (word) } }
}

/// Shows the state of a job by a shape and a word.
pub(super) fn job_badge(texts: &Texts, job: &Job, now: Timestamp) -> Markup {
    let (shape, word, class) = match job.status(now) {
        Status::Pending => ("◌", texts.pending, "pending"),
        Status::Running => ("◔", texts.running, "running"),
        Status::Succeeded => ("●", texts.succeeded, "succeeded"),
        Status::Failed => ("✕", texts.failed, "failed"),
        Status::Expired => ("▢", texts.expired, "expired"),
    };
    badge(shape, word, class)
}

/// Returns the degree of a job's file, if it has one.
pub(super) fn file_degree(job: &Job) -> Option<Degree> {
    let (State::Succeeded { file, .. } | State::Expired { file, .. }) = job.state() else { return None };
    Some(file.completeness.as_ref().map_or(Degree::Unknown, Degree::of))
}

/// Says what stands between figures and their being final.
pub(super) fn about(shell: &Shell, completeness: &Completeness) -> Markup {
    let texts = shell.texts();
    let nothing = html! { "–" };
    let watermark = completeness.watermark.map_or(nothing, |at| time::at(texts, at));
    match Degree::of(completeness) {
        Degree::Final => say(texts.about_final, &[("watermark", &watermark)]),
        Degree::Open => say(texts.about_open, &[("watermark", &watermark)]),
        Degree::Unknown => say(texts.about_unknown, &[]),
        _ => say(texts.about_provisional, &[("reasons", &Reasons(texts, &completeness.reasons))]),
    }
}

/// The reasons for which figures are provisional, in words.
struct Reasons<'a>(&'a Texts, &'a [Reason]);

impl Render for Reasons<'_> {
    fn render(&self) -> Markup {
        let Self(texts, reasons) = self;
        html! {
            @for (index, reason) in reasons.iter().enumerate() {
                @if index > 0 { "; " }
                (cause(texts, reason.code))
                @if let (Some(first), Some(last)) = (reason.first, reason.last) {
                    " ("
                    @if first == last {
                        (say(texts.one_bucket, &[("first", &time::at(texts, first))]))
                    } @else {
                        (say(texts.buckets, &[
                            ("count", &reason.buckets),
                            ("first", &time::at(texts, first)),
                            ("last", &time::at(texts, last)),
                        ]))
                    }
                    ")"
                }
            }
        }
    }
}

const fn cause(texts: &Texts, code: ReasonCode) -> &'static str {
    match code {
        ReasonCode::RangeNotOver => texts.reason_not_over,
        ReasonCode::NotRefreshed => texts.reason_not_refreshed,
        ReasonCode::AfterWatermark => texts.reason_after_watermark,
        ReasonCode::HoursWaiting => texts.reason_waiting,
        ReasonCode::HoursFailed => texts.reason_failed,
        ReasonCode::RollupsDiffer => texts.reason_differ,
        ReasonCode::BeforeCutOver => texts.reason_before_cut_over,
        ReasonCode::EventsDropped => texts.reason_dropped,
        ReasonCode::CountedElsewhere => texts.reason_elsewhere,
        ReasonCode::LateUsageAwaited => texts.reason_late_awaited,
    }
}

/// Says what usage is in no figure: hours that wait, and refused events. Nothing if there is none.
pub(super) fn banners(shell: &Shell, completeness: &Completeness, oldest_wait: Option<Timestamp>) -> Markup {
    let texts = shell.texts();
    let waiting = completeness.reasons.iter().find(|reason| reason.code == ReasonCode::HoursWaiting);
    let waiting = waiting.and_then(|reason| Some((reason, reason.first?, reason.last?)));
    html! {
        @if let (Some((reason, first, last)), Some(since)) = (waiting, oldest_wait) {
            p.note {
                (say(if reason.buckets == 1 { texts.lag_one } else { texts.lag }, &[
                    ("count", &reason.buckets),
                    ("first", &time::at(texts, first)),
                    ("last", &time::at(texts, last)),
                    ("since", &time::at(texts, since)),
                ]))
            }
        }
        @if completeness.refused_events > 0 {
            p.note {
                (say(if completeness.refused_events == 1 { texts.refused_one } else { texts.refused }, &[
                    ("count", &count(completeness.refused_events)),
                ]))
            }
        }
    }
}

/// Says what a job's state means for who waits for its file. `is_kept` is known for a file that was deleted: whether the
/// figures of its period still exist.
pub(super) fn about_job(shell: &Shell, job: &Job, is_kept: Option<bool>) -> Markup {
    let texts = shell.texts();
    match (job.status(shell.now), job.state()) {
        (_, State::Pending { .. }) => {
            let since = job.created_at();
            let is_long = shell.now.duration_since(since) > LONG_WAIT;
            let text = if is_long { texts.about_pending_long } else { texts.about_pending };
            html! { p { (say(text, &[("since", &time::at(texts, since)), ("id", &job.id().to_string())])) } }
        }
        (_, State::Running { progress, .. }) => html! {
            @let thousandths = progress.map_or(0, |progress| progress.thousandths);
            progress max="1000" value=(thousandths) aria-label=(texts.progress) {}
            p {
                @match progress {
                    Some(progress) => {
                        (say(texts.about_running, &[
                            ("rows", &count(progress.rows)),
                            ("megabytes", &megabytes(progress.bytes)),
                        ]))
                    }
                    None => (texts.about_running_start),
                }
            }
        },
        (Status::Succeeded, State::Succeeded { file, .. }) => {
            html! { p { (say(texts.about_succeeded, &[("rows", &count(file.row_count))])) } }
        }
        (_, State::Failed { failure, .. }) => html! {
            p { (texts.about_failed) " " (failed(texts, *failure)) " " (say(texts.about_failed_id, &[("id", &job.id().to_string())])) }
        },
        (_, State::Succeeded { completed_at, expires_at, .. } | State::Expired { completed_at, expires_at, .. }) => {
            let days = expires_at.duration_since(*completed_at).as_hours() / 24;
            html! {
                p {
                    (say(texts.about_expired, &[("at", &time::at(texts, *expires_at)), ("days", &days)]))
                    @match is_kept {
                        Some(true) => { " " (texts.about_expired_kept) }
                        Some(false) => { " " (texts.about_expired_lost) }
                        None => {}
                    }
                }
            }
        }
    }
}

/// Returns what a screen reader is told of a job.
pub(super) fn announced(texts: &Texts, job: &Job, now: Timestamp) -> String {
    match (job.status(now), job.state()) {
        (Status::Succeeded, _) => texts.live_done.to_owned(),
        (Status::Failed, _) => texts.live_failed.to_owned(),
        (_, State::Running { progress: Some(progress), .. }) => {
            let percent = progress.thousandths / 10;
            say(texts.live_running, &[("percent", &percent)]).into_string()
        }
        _ => texts.pending.to_owned(),
    }
}

const fn failed(texts: &Texts, failure: Failure) -> &'static str {
    match failure {
        Failure::UsageUnavailable => texts.failure_usage_unavailable,
        Failure::UsageUnreadable => texts.failure_usage_unreadable,
        Failure::UsageInvalid => texts.failure_usage_invalid,
        Failure::StorageUnavailable => texts.failure_storage_unavailable,
        Failure::StorageRefused => texts.failure_storage_refused,
        Failure::TookTooLong => texts.failure_took_too_long,
        Failure::WorkerLost => texts.failure_worker_lost,
    }
}

/// Formats bytes in megabytes with a decimal, rounded down.
fn megabytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

#[cfg(test)]
mod tests {
    use domain::completeness::Reason;

    use super::*;

    fn with(codes: &[ReasonCode]) -> Completeness {
        let reasons = codes.iter().map(|code| Reason::of_range(*code)).collect();
        Completeness { reasons, ..Completeness::default() }
    }

    #[test]
    fn figures_have_the_degree_of_their_reasons() {
        for (codes, degree) in [
            (&[][..], Degree::Final),
            (&[ReasonCode::RangeNotOver], Degree::Open),
            (&[ReasonCode::RangeNotOver, ReasonCode::HoursWaiting], Degree::Open),
            (&[ReasonCode::HoursWaiting], Degree::Provisional),
            (&[ReasonCode::AfterWatermark], Degree::Provisional),
            (&[ReasonCode::CountedElsewhere], Degree::Unknown),
            (&[ReasonCode::RangeNotOver, ReasonCode::CountedElsewhere], Degree::Open),
        ] {
            assert_eq!(Degree::of(&with(codes)), degree, "{codes:?}");
        }
    }

    #[test]
    fn megabytes_are_rounded_down() {
        assert_eq!([0, 99_999, 1_999_999].map(megabytes), ["0.0", "0.0", "1.9"]);
    }
}
