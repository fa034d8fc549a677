//! The worker: receives export jobs from the queue, writes the CSV of each and stores it.

mod context;
mod delivery;
mod export;
mod failure;
mod handler;
mod retry;

use std::time::Duration;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::Deadline;

/// Time reserved at the end of an invocation to abort an upload, write the job's state and return the message.
const RESERVE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<_>| {
        let deadline = Deadline::new(event.context.deadline(), RESERVE);
        Ok::<_, Error>(handler::handle(event.payload, deadline, &context).await?)
    }))
    .await
}
