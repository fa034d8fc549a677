//! Runs the monthly exports on Lambda.

// The future of a run nests deeper than the compiler's default allows across crates.
#![recursion_limit = "256"]

use std::{process::ExitCode, time::Duration};

use lambda::{Error, Invocation};
use monthly::{Context, handle, read};
use platform::{Deadline, aws, trace};

/// Time reserved at the end of an invocation to finish the current page of organizations.
const RESERVE: Duration = Duration::from_secs(120);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env(&aws::sdk_config()?)?;
    lambda::run(async |invocation: Invocation<serde_json::Value>| {
        let deadline = Deadline::new(invocation.ends_at, RESERVE);
        let order = read(&invocation.event, context.last_hour(), jiff::Timestamp::now())?;
        Ok(trace::invocation(handle(order, &invocation.request_id, deadline, &context)).await?)
    })
    .await
}
