//! Migrates the database: as a step of every deploy, or when somebody asks for it.

mod cloudformation;
mod handler;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    // The environment is read by each invocation: what is wrong with it has to reach whoever waits for an answer.
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| handler::handle(event.payload).await)).await
}
