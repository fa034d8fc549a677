//! The line of a run, with its metrics.

use metrique::{emf::flags::NoMetric, unit_of_work::metrics};
use platform::metrics::write;
use tracing::Level;
use usage::maintenance::retention::RetentionReport;

#[metrics(rename_all = "PascalCase")]
struct Run {
    partitions_ahead_days: u64,
    default_rows: u64,
    postponed: u64,
    retention_unfinished: u64,
    #[metrics(flatten)]
    counts: Counts,
}

/// Counts of the run that no metric has.
#[metrics(subfield_owned, rename_all = "snake_case")]
struct Counts {
    #[metrics(flags(NoMetric))]
    partitions_made: u64,
    #[metrics(flags(NoMetric))]
    rows_moved: u64,
    #[metrics(flags(NoMetric))]
    days_packed: u64,
    #[metrics(flags(NoMetric))]
    events_packed: u64,
    #[metrics(flags(NoMetric))]
    bytes_before: u64,
    #[metrics(flags(NoMetric))]
    bytes_after: u64,
    #[metrics(flags(NoMetric))]
    event_partitions_dropped: u64,
    #[metrics(flags(NoMetric))]
    rollup_partitions_dropped: u64,
    #[metrics(flags(NoMetric))]
    rows_deleted: u64,
    #[metrics(flags(NoMetric))]
    keys_forgotten: u64,
    #[metrics(flags(NoMetric))]
    test_runs_deleted: u64,
    #[metrics(flags(NoMetric))]
    test_names_deleted: u64,
    #[metrics(flags(NoMetric))]
    events_refused: u64,
    #[metrics(flags(NoMetric))]
    hours_abandoned: u64,
    #[metrics(flags(NoMetric))]
    days_audited: u64,
    #[metrics(flags(NoMetric))]
    days_repaired: u64,
    #[metrics(flags(NoMetric))]
    days_damaged: u64,
    #[metrics(flags(NoMetric))]
    days_not_audited: u64,
    #[metrics(flags(NoMetric))]
    unfinished_nights: u64,
    /// The hours that the preceding refresh computed, and those that it could not compute.
    #[metrics(flags(NoMetric))]
    hours_refreshed: u64,
    #[metrics(flags(NoMetric))]
    hours_failed: u64,
}

/// Writes the line of a run, unless another one was running, which writes its own.
pub(crate) fn of_run(report: &RetentionReport) {
    if report.already_running {
        return;
    }
    let is_work_left = report.is_work_left();
    let run = Run {
        partitions_ahead_days: report.partitions_ahead_days,
        default_rows: report.default_rows,
        postponed: report.postponed,
        retention_unfinished: u64::from(is_work_left),
        counts: Counts {
            partitions_made: report.partitions_made,
            rows_moved: report.rows_moved,
            days_packed: report.days_packed,
            events_packed: report.events_packed,
            bytes_before: report.bytes_before,
            bytes_after: report.bytes_after,
            event_partitions_dropped: report.event_partitions_dropped,
            rollup_partitions_dropped: report.rollup_partitions_dropped,
            rows_deleted: report.rows_deleted,
            keys_forgotten: report.keys_forgotten,
            test_runs_deleted: report.test_runs_deleted,
            test_names_deleted: report.test_names_deleted,
            events_refused: report.events_refused,
            hours_abandoned: report.hours_abandoned,
            days_audited: report.days_audited,
            days_repaired: report.days_repaired,
            days_damaged: report.days_damaged,
            days_not_audited: report.days_not_audited,
            unfinished_nights: report.unfinished_nights,
            hours_refreshed: report.refresh.hours,
            hours_failed: report.refresh.failed,
        },
    };
    write(if is_work_left { Level::WARN } else { Level::INFO }, "retention finished", run);
}
