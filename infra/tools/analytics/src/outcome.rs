//! The ends of a command that have an exit status of their own.

use std::process::ExitCode;

use crate::problem::RequestError;

/// An end that scripts tell apart from other failures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Outcome {
    /// Options that do not fit together, or are missing.
    #[error("{0}")]
    WrongUsage(String),
    /// The job has no file and will not have one.
    #[error("{0}")]
    NoFile(String),
    /// Figures or bytes that should be equal and are not.
    #[error("{0}")]
    Mismatch(String),
    /// The figures are not final, and had to be.
    #[error("{0}")]
    NotFinal(String),
}

/// Returns the exit status of a failure: 1 unless it has one of its own.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(status(error))
}

fn status(error: &anyhow::Error) -> u8 {
    if let Some(outcome) = error.downcast_ref::<Outcome>() {
        return match outcome {
            Outcome::WrongUsage(_) => 2,
            Outcome::NoFile(_) => 3,
            Outcome::Mismatch(_) => 4,
            Outcome::NotFinal(_) => 5,
        };
    }
    match error.downcast_ref::<RequestError>() {
        Some(RequestError::Refused { problem, .. }) if problem.is_of_a_job_without_file() => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::problem::tests::refused;

    #[test]
    fn each_end_has_its_status_whatever_is_said_about_it() {
        let of = |outcome: Outcome| status(&Err::<(), _>(outcome).context("january.csv").unwrap_err());
        assert_eq!(of(Outcome::WrongUsage(String::new())), 2);
        assert_eq!(of(Outcome::NoFile(String::new())), 3);
        assert_eq!(of(Outcome::Mismatch(String::new())), 4);
        assert_eq!(of(Outcome::NotFinal(String::new())), 5);
        assert_eq!(status(&anyhow::anyhow!("any other")), 1);
    }

    #[test]
    fn the_service_tells_that_a_job_has_no_file() {
        for (slug, expected) in
            [("export-failed", 3), ("export-expired", 3), ("export-not-ready", 1), ("no-such-job", 1)]
        {
            assert_eq!(status(&refused(404, slug, 0).into()), expected, "{slug}");
        }
    }
}
