//! The metrics of a run.

use metrique::unit_of_work::metrics;
use platform::metrics::write;
use tracing::Level;
use usage::maintenance::retention::RetentionReport;

#[metrics(rename_all = "PascalCase")]
struct Run {
    partitions_ahead_days: u64,
    default_rows: u64,
    postponed: u64,
    retention_unfinished: u64,
    #[metrics(name = "request_id")]
    request_id: String,
}

/// Writes the metrics of a run, unless another one was running, which writes its own.
pub(crate) fn of_run(report: &RetentionReport, request_id: &str) {
    if report.already_running {
        return;
    }
    let is_work_left = report.is_work_left();
    let run = Run {
        partitions_ahead_days: report.partitions_ahead_days,
        default_rows: report.default_rows,
        postponed: report.postponed,
        retention_unfinished: u64::from(is_work_left),
        request_id: request_id.to_owned(),
    };
    write(if is_work_left { Level::WARN } else { Level::INFO }, "retention finished", run);
}
