//! Runs the telemetry function on Lambda.

use std::process::ExitCode;

use lambda::{Error, Invocation};
use platform::{aws, trace};
use telemetry::{Context, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env(&aws::sdk_config()?)?;
    lambda::run(async |invocation: Invocation<_>| Ok(trace::invocation(handle(invocation.event, &context)).await?))
        .await
}
