//! The refresh: runs on a schedule and makes rollups of the events that came in.

mod context;
mod handler;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |_: LambdaEvent<serde_json::Value>| {
        // What fired it does not matter: a rule, or a person.
        Ok::<_, Error>(handler::handle(&context).await?)
    }))
    .await
}
