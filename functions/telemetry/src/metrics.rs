//! The line of a batch of documents, with its metrics.

use metrique::unit_of_work::metrics;
use platform::metrics::write;
use tracing::Level;

use crate::handler::Counts;

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
