//! Runs the sweep on Lambda.

use std::{process::ExitCode, time::Duration};

use lambda::{Error, Invocation};
use platform::{Deadline, aws, trace};
use sweep::{Context, handle};

/// Time reserved at the end of an invocation to finish the current job.
const RESERVE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env(&aws::sdk_config()?)?;
    lambda::run(async |invocation: Invocation<serde_json::Value>| {
        // The event is not read: a rule and a person request the same.
        let deadline = Deadline::new(invocation.ends_at, RESERVE);
        Ok(trace::invocation(handle(&invocation.request_id, deadline, &context)).await?)
    })
    .await
}
