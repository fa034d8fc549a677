//! Runs the deliver function on Lambda.

use std::{process::ExitCode, time::Duration};

use deliver::{Context, handle};
use lambda::{Error, Invocation};
use platform::{Deadline, aws};

/// Time reserved at the end of an invocation to note why a file was not delivered.
const RESERVE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env(&aws::sdk_config()?)?;
    lambda::run(async |invocation: Invocation<_>| {
        let deadline = Deadline::new(invocation.ends_at, RESERVE);
        Ok(handle(invocation.event, &invocation.request_id, deadline, &context).await?)
    })
    .await
}
