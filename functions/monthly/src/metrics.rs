//! The line of an invocation, with its metrics.

use domain::{Month, MonthlyRun};
use metrique::{emf::flags::NoMetric, unit_of_work::metrics};
use platform::{log::Causes, metrics::write};
use tracing::Level;

use crate::{
    handler::{Counts, RunError},
    own::OwnSchedules,
};

#[metrics(rename_all = "PascalCase")]
struct Invocation {
    monthly_created: u64,
    monthly_create_errors: u64,
    /// 1 if the time limit was reached.
    unfinished: u64,
    /// 1 if another invocation works on the month.
    held: u64,
    provisional_months: u64,
    #[metrics(name = "month")]
    month: String,
    #[metrics(flatten)]
    run: Option<Run>,
    #[metrics(name = "error")]
    error: Option<String>,
}

/// The counts of the whole run until now.
#[metrics(subfield_owned, rename_all = "snake_case")]
struct Run {
    #[metrics(flags(NoMetric))]
    edition: u32,
    #[metrics(flags(NoMetric))]
    created: u64,
    #[metrics(flags(NoMetric))]
    already_there: u64,
    #[metrics(flags(NoMetric))]
    waiting: u64,
    #[metrics(flags(NoMetric))]
    provisional: u64,
}

/// Writes the line of an invocation that ended so.
pub(crate) fn of_invocation(counts: &Counts, ended: &Result<MonthlyRun, RunError>, month: Month) {
    let (level, message) = summary(counts, ended);
    let error = ended.as_ref().err();
    let invocation = Invocation {
        monthly_created: counts.created,
        monthly_create_errors: counts.failed,
        unfinished: u64::from(matches!(error, Some(RunError::Unfinished(_)))),
        held: u64::from(matches!(error, Some(RunError::Held { .. }))),
        provisional_months: u64::from(counts.is_provisional),
        month: month.to_string(),
        run: ended.as_ref().ok().map(|run| Run {
            edition: run.edition,
            created: run.created,
            already_there: run.already_there,
            waiting: run.waiting,
            provisional: run.provisional,
        }),
        error: error.map(|error| Causes(error).to_string()),
    };
    write(level, message, invocation);
}

#[metrics(rename_all = "PascalCase")]
struct OwnPass {
    monthly_created: u64,
    monthly_create_errors: u64,
    provisional_months: u64,
    #[metrics(name = "month")]
    month: String,
    #[metrics(name = "already_there")]
    already_there: String,
    #[metrics(name = "waiting")]
    waiting: String,
    #[metrics(name = "not_yet")]
    not_yet: String,
    #[metrics(name = "unfinished")]
    unfinished: String,
    #[metrics(name = "error")]
    error: Option<String>,
}

/// Writes the line of a pass over the organizations with a schedule of their own.
pub(crate) fn of_own_schedules(ended: &Result<OwnSchedules, RunError>, month: Month) {
    let (level, message) = match ended {
        // Nothing continues it: somebody has to look.
        Ok(own) if own.provisional > 0 => (Level::ERROR, "own schedules made provisional exports"),
        Ok(_) => (Level::INFO, "own schedules looked at"),
        Err(_) => (Level::ERROR, "own schedules failed"),
    };
    let own = ended.as_ref().copied().unwrap_or_default();
    let error = ended.as_ref().err();
    let pass = OwnPass {
        monthly_created: own.created,
        monthly_create_errors: own.failed,
        provisional_months: u64::from(own.provisional > 0),
        month: month.to_string(),
        already_there: own.already_there.to_string(),
        waiting: own.waiting.to_string(),
        not_yet: own.not_yet.to_string(),
        unfinished: own.is_unfinished.to_string(),
        error: error.map(|error| Causes(error).to_string()),
    };
    write(level, message, pass);
}

fn summary(counts: &Counts, ended: &Result<MonthlyRun, RunError>) -> (Level, &'static str) {
    match ended {
        // Nothing continues it: somebody has to look, and to request a further edition.
        _ if counts.is_provisional => (Level::ERROR, "monthly run finished with provisional exports"),
        Ok(run) if run.finished_at.is_none() => (Level::WARN, "monthly run waits for final figures"),
        Ok(_) => (Level::INFO, "monthly run finished"),
        Err(RunError::Unfinished(_)) => (Level::INFO, "monthly run not finished yet"),
        Err(RunError::Held { .. }) => (Level::INFO, "monthly run held by another invocation"),
        Err(_) => (Level::ERROR, "monthly run failed"),
    }
}
