//! The refresh: runs on a schedule and makes rollups of the events that came in.

mod context;
mod handler;

use std::time::Duration;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::Deadline;

/// Left at the end of an invocation to finish the step that is under way and record the freshness.
const RESERVE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        // The event is not read: a rule and a person ask for the same.
        let deadline = Deadline::new(event.context.deadline(), RESERVE);
        Ok::<_, Error>(handler::handle(deadline, &context).await?)
    }))
    .await
}
