//! Migrates the database, as a step of every deploy or on request.

mod handler;

use std::time::Duration;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::Deadline;

/// Time reserved at the end of an invocation to answer.
const RESERVE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init(env!("CARGO_PKG_NAME"));
    // Each invocation reads the environment, so that its answer can report a mistake there.
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        let deadline = Deadline::new(event.context.deadline(), RESERVE);
        handler::handle(event.payload, deadline).await
    }))
    .await
}
