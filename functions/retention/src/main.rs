//! The retention: runs every night, compresses and drops old usage, creates partitions in advance, and deletes old results
//! of tests in CI.

mod context;
mod handler;
mod metrics;

use std::{process::ExitCode, time::Duration};

use context::Context;
use lambda::{Error, Invocation};
use platform::{Deadline, trace};

/// Time reserved at the end of an invocation to finish the current step.
const RESERVE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env()?;
    lambda::run(async |invocation: Invocation<serde_json::Value>| {
        // The event is ignored: a rule and a person request the same.
        let deadline = Deadline::new(invocation.ends_at, RESERVE);
        Ok(trace::invocation(handler::handle(deadline, &context)).await?)
    })
    .await
}
