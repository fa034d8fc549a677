//! The telemetry function: reads the documents that CI puts into the metrics bucket, and stores the runs that they
//! describe.

mod context;
mod handler;
mod notification;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<_>| Ok::<_, Error>(handler::handle(event.payload, &context).await?))).await
}
