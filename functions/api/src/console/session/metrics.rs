//! The lines of people who sign in and out, with their metrics.

use metrique::unit_of_work::metrics;
use platform::metrics::write;
use tracing::Level;

/// What became of an attempt or a session.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A subject, by the pseudonym, has a new session.
    SignedIn(String),
    /// Nobody was signed in. The request's line has the reason.
    Failed,
    /// A subject ended a session.
    SignedOut(String),
}

#[metrics(rename_all = "PascalCase")]
struct Line {
    sign_ins: u64,
    sign_ins_failed: u64,
    sign_outs: u64,
    #[metrics(name = "subject")]
    subject: Option<String>,
}

/// Writes the line.
pub(super) fn count(outcome: Outcome) {
    let none = Line { sign_ins: 0, sign_ins_failed: 0, sign_outs: 0, subject: None };
    let (level, message, line) = match outcome {
        Outcome::SignedIn(subject) => (Level::INFO, "signed in", Line { sign_ins: 1, subject: Some(subject), ..none }),
        Outcome::Failed => (Level::WARN, "sign-in failed", Line { sign_ins_failed: 1, ..none }),
        Outcome::SignedOut(subject) => {
            (Level::INFO, "signed out", Line { sign_outs: 1, subject: Some(subject), ..none })
        }
    };
    write(level, message, line);
}
