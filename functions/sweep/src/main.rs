//! The sweep: runs on a schedule and processes the jobs that are due: lost messages, lost workers and expired files.

mod context;
mod handler;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        // The event is not read: a rule and a person request the same.
        Ok::<_, Error>(handler::sweep(&event.context.request_id, &context).await?)
    }))
    .await
}
