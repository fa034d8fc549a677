//! The metrics of a run.

use metrique::unit_of_work::metrics;
use platform::metrics::write;
use tracing::Level;

use crate::handler::Report;

#[metrics(rename_all = "PascalCase")]
struct Run {
    reconciliations_made: u64,
    reconciliation_mismatches: u64,
    reconciliations_unknown: u64,
    reconciliation_errors: u64,
    #[metrics(name = "explained")]
    explained: String,
    #[metrics(name = "without_file")]
    without_file: String,
    #[metrics(name = "unfinished")]
    unfinished: String,
}

/// Writes the metrics of a run.
pub(crate) fn of_run(report: &Report) {
    let run = Run {
        reconciliations_made: report.made,
        reconciliation_mismatches: report.mismatches,
        reconciliations_unknown: report.unknown,
        reconciliation_errors: report.errors,
        explained: report.explained.to_string(),
        without_file: report.without_file.to_string(),
        unfinished: report.unfinished.to_string(),
    };
    let is_troubled = report.mismatches > 0 || report.unknown > 0 || report.errors > 0;
    write(if is_troubled { Level::WARN } else { Level::INFO }, "exports reconciled", run);
}
