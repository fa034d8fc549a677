//! Traces, off by default: the spans of an invocation, sent to the X-Ray daemon that Lambda runs beside a function.
//!
//! `TRACING=Active`, which the template sets by its parameter `Tracing`, switches them on. Each span is one UDP datagram
//! to `AWS_XRAY_DAEMON_ADDRESS`, by default `127.0.0.1:2000`: the address is Lambda's, or that of any other receiver of
//! segment documents, such as the OpenTelemetry collector's `awsxray`. Sending waits for nobody. A datagram that the
//! system refuses is lost, and the log says how many there were.
//!
//! Spans are those of the crate `tracing`. These are part of a trace, and not of the log:
//!
//! - spans with the field `otel.kind`: `server`, `consumer`, `producer`, `client` or `internal`;
//! - the spans that the AWS SDK makes for its calls.
//!
//! Names of fields are OpenTelemetry's semantic conventions. These have a meaning of their own, as in the crate
//! `tracing-opentelemetry`:
//!
//! - `otel.name`: the name of the span, if it is not that in the code;
//! - `trace.invocation`: marks the first span of an invocation. Its value is the header by which Lambda passes the trace,
//!   if there is one. Without it, the span begins a trace of its own;
//! - `trace.message`: the header that came with a message. It takes precedence, so that a trace goes on from who sent
//!   the message to who handles it;
//! - `error.type`: the code of the error by which the span's work failed.
//!
//! Fields must hold no rows, no tokens and no values of statements: a trace has other readers than the database.

mod daemon;
mod document;
mod fields;
mod layer;
mod position;

use tracing::{Instrument as _, Metadata, Span, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use self::{daemon::Daemon, layer::Tracer};
use crate::config;
use layer::Open;

/// The field that makes a span a part of traces.
const KIND: &str = "otel.kind";

/// The target of the lines in which the Lambda runtime logs that a handler failed.
const RUNTIME_ERRORS: &str = "lambda_runtime::layers::panic";

/// The prefix of the targets of the SDK's spans.
const SDK: &str = "aws_sdk_";

/// Returns the layer that sends spans, or `None` if traces are off.
pub(crate) fn layer<S>() -> Option<impl Layer<S>>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    let is_active = config::optional("TRACING").is_some_and(|tracing| tracing == "Active");
    let tracer = is_active.then(|| Tracer::new(Daemon::from_env(), config::optional("AWS_LAMBDA_FUNCTION_NAME")));
    tracer.map(|tracer| tracer.with_filter(Part::Trace))
}

/// Returns the filter of the log: events from `level` on, and the spans that are not part of traces.
pub(crate) const fn log_filter(level: LevelFilter) -> Part {
    Part::Log(level)
}

/// Returns the header of the current span, for a message: whoever handles it continues the trace. `None` if traces are
/// off.
pub fn header() -> Option<String> {
    with_open(|open| open.position().to_string())
}

/// Returns the id of the current trace, as X-Ray writes it, if the trace is recorded.
pub fn id() -> Option<String> {
    with_open(|open| open.position().recorded_trace()).flatten()
}

/// Says by which error the work of the current span failed.
pub fn fail(code: &'static str) {
    with_open(|open| open.fail(code));
}

/// Returns the header by which Lambda passes the trace of the present invocation. Empty where there is none.
pub fn lambda_header() -> String {
    // The runtime sets it for each invocation.
    config::optional("_X_AMZN_TRACE_ID").unwrap_or_default()
}

/// Runs the work of an invocation, which is neither a request nor a message, within its span.
pub async fn invocation<F: Future>(work: F) -> F::Output {
    work.instrument(tracing::info_span!("invoke", otel.kind = "server", trace.invocation = lambda_header())).await
}

/// Calls `read` with the innermost span of the trace around the caller.
fn with_open<T>(mut read: impl FnMut(&mut Open) -> T) -> Option<T> {
    let found = Span::current().with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        span.scope().find_map(|span| span.extensions_mut().get_mut::<Open>().map(&mut read))
    });
    found.flatten()
}

/// Divides spans and events between the log and the trace.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// Events from this level on, and spans that are not part of traces.
    Log(LevelFilter),
    /// The spans of traces, at any level.
    Trace,
}

impl Part {
    fn has(self, metadata: &Metadata<'_>) -> bool {
        match self {
            Self::Log(level) => *metadata.level() <= level && !is_traced(metadata) && !is_logged_before(metadata),
            Self::Trace => is_traced(metadata),
        }
    }
}

impl<S> Filter<S> for Part {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.has(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.has(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        match self {
            Self::Log(level) => Some(*level),
            // That of the SDK's spans.
            Self::Trace => Some(LevelFilter::DEBUG),
        }
    }
}

/// Reports whether an event is the runtime's line of an invocation that failed: the Debug form of its error, which the
/// crate `lambda` logs before, by its code and sentence. The runtime's line of a panic has a field `error`.
fn is_logged_before(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target() == RUNTIME_ERRORS && metadata.fields().field("error").is_none()
}

fn is_traced(metadata: &Metadata<'_>) -> bool {
    let fields = metadata.fields();
    let is_call = || metadata.target().starts_with(SDK) && fields.field(fields::METHOD).is_some();
    metadata.is_span() && (fields.field(KIND).is_some() || is_call())
}

#[cfg(test)]
mod tests;
