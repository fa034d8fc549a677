//! Runs the notify function on Lambda.

use std::process::ExitCode;

use lambda::{Error, Invocation};
use notify::{Context, handle};
use platform::aws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env(&aws::sdk_config()?)?;
    lambda::run(async |invocation: Invocation<_>| Ok(handle(invocation.event, &context).await?)).await
}
