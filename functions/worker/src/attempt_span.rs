//! The span of an attempt.

use domain::{JobId, OrgId};
use lambda::Delivery;
use platform::trace;
use tracing::{Span, field::Empty, info_span};

/// Creates the span of an attempt at a job. It belongs to the trace in which the message was sent: all attempts at a job
/// are in the trace of the request that created it.
pub(crate) fn attempt_span(delivery: &Delivery, org_id: OrgId, job_id: JobId) -> Span {
    info_span!(
        "process exports",
        otel.kind = "consumer",
        messaging.system = "aws_sqs",
        messaging.operation.type = "process",
        messaging.message.id = delivery.message_id,
        %org_id,
        %job_id,
        receives = delivery.receives,
        trace.message = delivery.trace,
        trace.invocation = trace::lambda_header(),
        error.type = Empty,
    )
}
