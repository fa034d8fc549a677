//! Runs the telemetry function on Lambda.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::{aws, trace};
use telemetry::{Context, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init(env!("CARGO_PKG_NAME"));
    let context = Context::from_env(&aws::sdk_config()?)?;
    run(service_fn(async |event: LambdaEvent<_>| {
        Ok::<_, Error>(trace::invocation(handle(event.payload, &event.context.request_id, &context)).await?)
    }))
    .await
}
