//! The errors that invocations end with.

use std::{error::Error, fmt};

use lambda_runtime::Diagnostic;
use platform::log::Causes;
use tracing::error;

/// The code of an event that is not of a form that the function knows.
const EVENT_UNREADABLE: &str = "event_unreadable";

/// An error that an invocation may end with.
pub trait Code: Error {
    /// Returns the code under which the log and the answer name the error. It never changes, whatever the sentence says.
    fn code(&self) -> &'static str;
}

/// The error that an invocation ended with: a code, and a sentence with all causes.
pub struct Failure {
    code: &'static str,
    sentence: String,
}

impl Failure {
    /// Creates the failure of an event that cannot be read.
    pub(crate) fn of_event(error: serde_json::Error) -> Self {
        Self { code: EVENT_UNREADABLE, sentence: format!("the event is not one of this function: {error}") }
    }

    /// Logs the failure, in the names that Lambda's own runtimes use.
    pub(crate) fn log(&self) {
        error!(errorType = self.code, errorMessage = self.sentence, "invocation failed");
    }
}

impl<E: Code + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: error.code(), sentence: Causes(&error).to_string() }
    }
}

impl From<Failure> for Diagnostic {
    fn from(Failure { code, sentence }: Failure) -> Self {
        Self { error_type: code.to_owned(), error_message: sentence }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("could not list the organizations")]
    struct Unlisted(#[source] std::io::Error);

    impl Code for Unlisted {
        fn code(&self) -> &'static str {
            "usage_unavailable"
        }
    }

    #[test]
    fn a_failure_has_a_code_and_the_sentences_of_all_causes() {
        let failure = Failure::from(Unlisted(std::io::Error::other("the connection was closed")));
        let Diagnostic { error_type, error_message } = failure.into();
        assert_eq!(error_type, "usage_unavailable");
        assert_eq!(error_message, "could not list the organizations: the connection was closed");
    }
}
