//! Runs the telemetry function on Lambda.

use lambda::{Error, Invocation};
use platform::{aws, trace};
use telemetry::{Context, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init(env!("CARGO_PKG_NAME"));
    let context = Context::from_env(&aws::sdk_config()?)?;
    lambda::run(async |invocation: Invocation<_>| Ok(trace::invocation(handle(invocation.event, &context)).await?))
        .await
}
