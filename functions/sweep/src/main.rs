//! Runs the sweep on Lambda.

use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::{Deadline, aws, trace};
use sweep::{Context, handle};

/// Time reserved at the end of an invocation to finish the current job.
const RESERVE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init(env!("CARGO_PKG_NAME"));
    let context = Context::from_env(&aws::sdk_config()?)?;
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        // The event is not read: a rule and a person request the same.
        let deadline = Deadline::new(event.context.deadline(), RESERVE);
        Ok::<_, Error>(trace::invocation(handle(&event.context.request_id, deadline, &context)).await?)
    }))
    .await
}
