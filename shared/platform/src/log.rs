//! The log, and how errors are written to it.

use std::{env, error::Error, fmt};

use tracing::level_filters::LevelFilter;

/// Writes the log to stdout from now on, as the function's `LoggingConfig` says: Lambda passes it on in
/// `AWS_LAMBDA_LOG_LEVEL`, `INFO` unless set, and `AWS_LAMBDA_LOG_FORMAT`, text unless `JSON`.
///
/// What the Lambda runtime brings along does the same, and compiles in a whole engine of regular expressions for filters
/// that no function has.
pub fn init() {
    let variable = |name| env::var(name).unwrap_or_default();
    let level = variable("AWS_LAMBDA_LOG_LEVEL").parse().unwrap_or(LevelFilter::INFO);
    // Lambda adds the time.
    let log = tracing_subscriber::fmt().with_target(false).without_time().with_max_level(level);
    match variable("AWS_LAMBDA_LOG_FORMAT").eq_ignore_ascii_case("json") {
        true => log.json().init(),
        false => log.init(),
    }
}

/// An error with all its causes, in one line: `could not store the file: could not put object …: …`.
///
/// The log's own handling of errors ends at the first.
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut error = self.0.source();
        while let Some(cause) = error {
            let text = cause.to_string();
            // A transparent wrapper says the same as what it wraps.
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
