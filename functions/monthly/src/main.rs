//! The monthly exports: runs on the 1st and creates a daily export of the previous month for every organization with usage.

mod context;
mod event;
mod handler;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        let order = event::read(&event.payload, jiff::Timestamp::now())?;
        Ok::<_, Error>(handler::run(order, &event.context.request_id, &context).await?)
    }))
    .await
}
