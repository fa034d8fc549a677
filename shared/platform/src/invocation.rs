//! The ids of the present invocation, which each line of its log has, by the names that Lambda's own runtimes use.

use tracing::{Instrument as _, error_span};

tokio::task_local! {
    static PRESENT: Ids;
}

/// The ids of an invocation.
#[derive(Debug, Clone)]
pub struct Ids {
    /// `requestId`: Lambda's id of the invocation, which its lines of start and end have, too.
    pub request_id: String,
    /// `xrayTraceId`: the header of its trace in X-Ray, if it has one.
    pub xray_trace_id: Option<String>,
}

impl Ids {
    /// Does the work of the invocation. Its lines, those with metrics and others, have the ids. A task that it spawns
    /// has to be in the same span.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        // Of the highest level, so that lines of any level have the fields.
        let span = error_span!("invocation", requestId = self.request_id, xrayTraceId = self.xray_trace_id);
        PRESENT.scope(self, work).instrument(span).await
    }

    /// Returns the ids of the invocation that the current task works on.
    pub(crate) fn present() -> Option<Self> {
        PRESENT.try_with(Self::clone).ok()
    }
}
