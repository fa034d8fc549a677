//! The sweep: runs on a schedule and processes the jobs that are due: lost messages, lost workers and expired files.

mod context;
mod handler;

use std::time::Duration;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::Deadline;

/// Time reserved at the end of an invocation to finish the current job.
const RESERVE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        // The event is not read: a rule and a person request the same.
        let deadline = Deadline::new(event.context.deadline(), RESERVE);
        Ok::<_, Error>(handler::sweep(&event.context.request_id, deadline, &context).await?)
    }))
    .await
}
