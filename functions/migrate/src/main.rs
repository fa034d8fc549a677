//! Migrates the database, as a step of every deploy or on request.

mod handler;

use std::{process::ExitCode, time::Duration};

use lambda::{Error, Invocation};
use platform::Deadline;

/// Time reserved at the end of an invocation to answer.
const RESERVE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    // Each invocation reads the environment, so that its answer can report a mistake there.
    lambda::run(async |invocation: Invocation<serde_json::Value>| {
        let deadline = Deadline::new(invocation.ends_at, RESERVE);
        Ok(handler::handle(invocation.event, deadline).await?)
    })
    .await
}
