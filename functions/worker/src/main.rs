//! Runs the worker on Lambda.

// The future of an export nests deeper than the compiler's default allows across crates.
#![recursion_limit = "256"]

use std::{process::ExitCode, time::Duration};

use lambda::{Error, Invocation};
use platform::{Deadline, aws};
use worker::{Context, handle};

/// Time reserved at the end of an invocation to abort an upload, write the job's state and return the message.
const RESERVE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env(&aws::sdk_config()?)?;
    lambda::run(async |invocation: Invocation<_>| {
        let deadline = Deadline::new(invocation.ends_at, RESERVE);
        Ok(handle(invocation.event, deadline, &context).await?)
    })
    .await
}
