//! The lines of a batch of documents and of a pass over series, with their metrics.

use ci::watch::Standing;
use jiff::Timestamp;
use metrique::{unit::Second, unit_of_work::metrics};
use platform::metrics::write;
use tracing::Level;

use crate::{changes::Pass, handler::Counts};

#[metrics(rename_all = "PascalCase")]
struct Batch {
    /// New runs and new versions of known ones.
    documents_stored: u64,
    /// Versions that were read before.
    documents_unchanged: u64,
    rejected_documents: u64,
    document_errors: u64,
    gone: u64,
    #[metrics(name = "ignored")]
    ignored: String,
}

/// Writes the line of a batch.
pub(crate) fn log(counts: &Counts) {
    let Counts { new, replaced, unchanged, rejected, gone, ignored, failed } = counts;
    let level = match (failed, rejected) {
        (0, 0) => Level::INFO,
        (0, _) => Level::WARN,
        _ => Level::ERROR,
    };
    let line = Batch {
        documents_stored: new + replaced,
        documents_unchanged: *unchanged,
        rejected_documents: *rejected,
        document_errors: *failed,
        gone: *gone,
        ignored: ignored.to_string(),
    };
    write(level, "telemetry documents ingested", line);
}

#[metrics(rename_all = "PascalCase")]
struct Looks {
    series_looked_at: u64,
    series_failed: u64,
    changes_told: u64,
    changes_confirmed: u64,
    changes_withdrawn: u64,
    change_events_told: u64,
    change_events_failed: u64,
    /// The series with runs that were not looked at.
    unseen_series: u64,
    #[metrics(unit = Second)]
    oldest_unseen_seconds: u64,
    #[metrics(unit = Second)]
    oldest_untold_seconds: u64,
    unacknowledged_slowdowns: u64,
}

/// Writes the line of a pass that reached its end. One that did not has none, which the alarm on the oldest mark takes
/// for a breach.
pub(crate) fn of_pass(pass: &Pass, standing: &Standing, now: Timestamp) {
    let age = |at: Option<Timestamp>| at.map_or(0, |at| u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0));
    let line = Looks {
        series_looked_at: pass.series.into(),
        series_failed: pass.failed.into(),
        changes_told: pass.told.into(),
        changes_confirmed: pass.confirmed.into(),
        changes_withdrawn: pass.withdrawn.into(),
        change_events_told: pass.events.into(),
        change_events_failed: pass.events_failed.into(),
        unseen_series: standing.unseen_series,
        oldest_unseen_seconds: age(standing.oldest_unseen),
        oldest_untold_seconds: age(standing.oldest_untold),
        unacknowledged_slowdowns: standing.slowdowns,
    };
    let level = match (pass.failed, pass.unfinished || pass.events_failed > 0) {
        (0, false) => Level::INFO,
        (0, true) => Level::WARN,
        _ => Level::ERROR,
    };
    write(level, "series looked at", line);
}
