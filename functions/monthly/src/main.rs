//! The monthly exports: runs on the 1st and creates a daily export of the previous month for every organization with
//! usage.

mod context;
mod event;
mod handler;
mod organization;

use std::time::Duration;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::Deadline;

/// Time reserved at the end of an invocation to finish the current page of organizations.
const RESERVE: Duration = Duration::from_secs(120);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        let deadline = Deadline::new(event.context.deadline(), RESERVE);
        let order = event::read(&event.payload, context.last_hour, jiff::Timestamp::now())?;
        Ok::<_, Error>(handler::run(order, &event.context.request_id, deadline, &context).await?)
    }))
    .await
}
