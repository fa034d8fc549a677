//! The worker: receives export jobs from the queue, writes the CSV of each and stores it.

mod context;
mod deadline;
mod delivery;
mod export;
mod failure;
mod handler;
mod retry;

use context::Context;
use deadline::Deadline;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<_>| {
        let deadline = Deadline::of(&event.context, context.timeout);
        Ok::<_, Error>(handler::handle(event.payload, deadline, &context).await?)
    }))
    .await
}
