//! The retention: runs every night, compresses and drops old usage, and creates partitions in advance.

mod context;
mod handler;
mod metrics;

use std::time::Duration;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::{Deadline, trace};

/// Time reserved at the end of an invocation to finish the current step.
const RESERVE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init(env!("CARGO_PKG_NAME"));
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        // The event is ignored: a rule and a person request the same.
        let deadline = Deadline::new(event.context.deadline(), RESERVE);
        Ok::<_, Error>(trace::invocation(handler::handle(&event.context.request_id, deadline, &context)).await?)
    }))
    .await
}
