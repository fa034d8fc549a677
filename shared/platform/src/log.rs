//! The log, and the form of errors in it.

use std::{env, error::Error, fmt, io};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, fmt::format::JsonFields, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{json_log::JsonLine, process, trace};

/// Starts logging to stdout in the name of a function, from the level of the variable `LOG_LEVEL` on, by default `INFO`;
/// and its [traces](trace), if they are on. The format is that of the function's `LoggingConfig`: Lambda sets
/// `AWS_LAMBDA_LOG_FORMAT`, `JSON` or text.
///
/// The level is the function's own, not Lambda's `ApplicationLogLevel`, which would drop the lines of metrics as well.
///
/// The log of the Lambda runtime's own crate would add an engine for regular expressions to each binary.
pub fn init(service: &'static str) {
    process::name(service);
    let variable = |name| env::var(name).unwrap_or_default();
    let level = variable("LOG_LEVEL").parse().unwrap_or(LevelFilter::INFO);
    let (log, filter) = (tracing_subscriber::fmt::layer(), trace::log_filter(level));
    let log = if variable("AWS_LAMBDA_LOG_FORMAT").eq_ignore_ascii_case("json") {
        log.fmt_fields(JsonFields::new()).event_format(JsonLine).with_filter(filter).boxed()
    } else {
        // Without the time, which Lambda adds to text.
        log.with_target(false).without_time().with_filter(filter).boxed()
    };
    tracing_subscriber::registry().with(log).with(trace::layer()).init();
}

/// Starts logging in JSON to a writer, from `INFO` on, for programs that Lambda does not run.
pub fn init_json<W: io::Write + 'static>(writer: impl Fn() -> W + Send + Sync + 'static) {
    tracing_subscriber::fmt().with_writer(writer).fmt_fields(JsonFields::new()).event_format(JsonLine).init();
}

/// Displays an error with all its causes, in one line: `could not store the file: could not put object …: …`.
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut error = self.0.source();
        while let Some(cause) = error {
            let text = cause.to_string();
            // A transparent wrapper has the text of its cause.
            if text != last {
                write!(f, ": {text}")?;
            }
            last = text;
            error = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
