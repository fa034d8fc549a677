//! The line of a run, with its metrics.

use metrique::{emf::flags::NoMetric, unit::Second, unit_of_work::metrics};
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
    #[metrics(flatten)]
    counts: Counts,
}

/// Counts of the run that no metric has.
#[metrics(subfield_owned, rename_all = "snake_case")]
struct Counts {
    #[metrics(flags(NoMetric))]
    batches: u64,
    #[metrics(flags(NoMetric))]
    hours: u64,
    #[metrics(flags(NoMetric))]
    days: u64,
    #[metrics(flags(NoMetric))]
    rollups_written: u64,
    #[metrics(flags(NoMetric))]
    kept: u64,
    #[metrics(flags(NoMetric))]
    too_old: u64,
    #[metrics(flags(NoMetric))]
    before_cut_over: u64,
    #[metrics(flags(NoMetric))]
    postponed: u64,
    read_only: String,
}

/// Writes the line of a run that reached its end. One that did not has none, which the alarm on the oldest event takes
/// for a breach.
pub(crate) fn of_run(report: &RefreshReport) {
    let is_work_left = report.unfinished || report.postponed > 0;
    let run = Run {
        oldest_dirty_seconds: report.oldest_wait_seconds,
        dirty_hours: report.dirty_hours,
        hours_failed: report.failed,
        unfinished: u64::from(is_work_left),
        counts: Counts {
            batches: report.batches,
            hours: report.hours,
            days: report.days,
            rollups_written: report.rollups_written,
            kept: report.kept,
            too_old: report.too_old,
            before_cut_over: report.before_cut_over,
            postponed: report.postponed,
            read_only: report.read_only.to_string(),
        },
    };
    let is_troubled = is_work_left || report.failed > 0 || report.read_only;
    write(if is_troubled { Level::WARN } else { Level::INFO }, "refresh finished", run);
}
