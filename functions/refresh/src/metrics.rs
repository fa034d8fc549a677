//! The metrics of a run.

use metrique::{unit::Second, unit_of_work::metrics};
use platform::metrics::write;
use tracing::Level;
use usage::maintenance::refresh::RefreshReport;

#[metrics(rename_all = "PascalCase")]
struct Run {
    #[metrics(unit = Second)]
    oldest_dirty_seconds: u64,
    dirty_hours: u64,
    hours_failed: u64,
    /// 1 if hours were left to the next run, for want of time or because another session held them.
    unfinished: u64,
    #[metrics(name = "request_id")]
    request_id: String,
}

/// Writes the metrics of a run that reached its end. One that did not has none, which the alarm on the oldest event
/// takes for a breach.
pub(crate) fn of_run(report: &RefreshReport, request_id: &str) {
    let is_work_left = report.unfinished || report.postponed > 0;
    let run = Run {
        oldest_dirty_seconds: report.oldest_wait_seconds,
        dirty_hours: report.dirty_hours,
        hours_failed: report.failed,
        unfinished: u64::from(is_work_left),
        request_id: request_id.to_owned(),
    };
    let is_troubled = is_work_left || report.failed > 0 || report.read_only;
    write(if is_troubled { Level::WARN } else { Level::INFO }, "refresh finished", run);
}
