//! Runs the worker on Lambda.

// The future of an export nests deeper than the compiler's default allows across crates.
#![recursion_limit = "256"]

use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::{Deadline, aws};
use worker::{Context, handle};

/// Time reserved at the end of an invocation to abort an upload, write the job's state and return the message.
const RESERVE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init(env!("CARGO_PKG_NAME"));
    let context = Context::from_env(&aws::sdk_config()?)?;
    run(service_fn(async |event: LambdaEvent<_>| {
        let deadline = Deadline::new(event.context.deadline(), RESERVE);
        Ok::<_, Error>(handle(event.payload, &event.context.request_id, deadline, &context).await?)
    }))
    .await
}
