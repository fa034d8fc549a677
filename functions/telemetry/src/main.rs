//! Runs the telemetry function on Lambda.

use std::{process::ExitCode, time::Duration};

use lambda::{Error, Invocation};
use platform::{Deadline, aws, trace};
use telemetry::{Context, handle};

/// Time reserved at the end of an invocation to read what is left of the work.
const RESERVE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env(&aws::sdk_config()?)?;
    lambda::run(async |invocation: Invocation<_>| {
        let deadline = Deadline::new(invocation.ends_at, RESERVE);
        Ok(trace::invocation(handle(invocation.event, deadline, &context)).await?)
    })
    .await
}
