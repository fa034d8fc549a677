//! The monthly exports: runs on the 1st and creates one daily export of the month before for every organization.

mod context;
mod event;
mod run;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        let order = event::read(&event.payload, jiff::Timestamp::now())?;
        Ok::<_, Error>(run::run(order, &event.context.request_id, &context).await?)
    }))
    .await
}
