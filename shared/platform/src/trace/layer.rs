//! The layer that follows spans of the crate `tracing` and sends each when it closes.

use jiff::Timestamp;
use tracing::{Subscriber, span};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use super::{
    daemon::Daemon,
    document::Document,
    fields::Fields,
    position::{Position, SpanId},
};

/// Makes documents of spans and sends them.
#[derive(Debug)]
pub(super) struct Tracer {
    daemon: Daemon,
    /// The name of the function, which is that of its segments.
    service: String,
}

/// A span of a trace that has not ended.
#[derive(Debug)]
pub(super) struct Open {
    position: Position,
    parent: Option<SpanId>,
    /// `true` if the parent is a span of another service, or there is none.
    is_segment: bool,
    /// `true` for the first span of an invocation.
    is_first: bool,
    started: Timestamp,
    fields: Fields,
}

impl Open {
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    pub(super) fn fail(&mut self, code: &'static str) {
        self.fields.set("error.type", code);
    }

    /// Opens the first span of an invocation.
    fn first(mut fields: Fields) -> Self {
        let message = fields.take("trace.message").and_then(|header| Position::read(&header));
        let invocation = fields.take("trace.invocation").and_then(|header| Position::read(&header));
        let started = Timestamp::now();
        let parent = message.or(invocation);
        if let (Some(_), Some(invocation)) = (message, invocation) {
            // Lambda's own trace of the invocation, which has its start and its duration.
            fields.set("faas.invocation_trace", invocation.trace.to_string());
        }
        Self {
            position: parent.map_or_else(|| Position::begin(started), Position::child),
            parent: parent.map(|parent| parent.span),
            // Lambda's segment of the invocation is the function's own.
            is_segment: message.is_some() || invocation.is_none(),
            is_first: true,
            started,
            fields,
        }
    }

    fn within(parent: Position, fields: Fields) -> Self {
        let started = Timestamp::now();
        Self {
            position: parent.child(),
            parent: Some(parent.span),
            is_segment: false,
            is_first: false,
            started,
            fields,
        }
    }
}

impl Tracer {
    pub(super) fn new(daemon: Daemon, service: Option<String>) -> Self {
        let service = service.unwrap_or_else(|| "analytics-exports".to_owned());
        Self { daemon, service }
    }

    /// Logs the number of spans that were not sent, if there are some.
    fn log_dropped(&self) {
        let dropped = self.daemon.take_dropped();
        if dropped > 0 {
            tracing::warn!(dropped, "spans of traces not sent");
        }
    }
}

impl<S> Layer<S> for Tracer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let open = match enclosing(&span) {
            Some(parent) => Open::within(parent, fields),
            None if span.metadata().fields().field("trace.invocation").is_some() => Open::first(fields),
            // A call outside of an invocation, such as at the start of the process.
            None => return,
        };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let Open { position, parent, is_segment, is_first, started, fields } = open;
        if !position.is_sampled {
            return;
        }
        let service = is_segment.then_some(self.service.as_str());
        let document = Document::new(position, parent, service, (started, Timestamp::now()), span.name(), fields);
        self.daemon.send(&document.to_bytes());
        if is_first {
            self.log_dropped();
        }
    }
}

/// Returns the position of the innermost span of a trace around this one.
fn enclosing<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Option<Position> {
    span.scope().skip(1).find_map(|outer| outer.extensions().get::<Open>().map(Open::position))
}
