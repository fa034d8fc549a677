//! How errors are written to the log.

use std::{error::Error, fmt};

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
