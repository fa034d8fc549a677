//! The HTTP function: checks requests for exports, queues them, and reports on jobs, usage and CI.

mod ci;
mod completeness;
mod context;
mod exports;
mod gateway;
mod handler;
mod instant;
mod openapi;
mod problem;
mod query;
mod router;
mod scope;
mod status;
mod troubles;
mod usage;

use context::Context;
use gateway::Event;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

/// The common beginning of every path.
const BASE: &str = "/analytics/v1";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let router = router::router(Context::from_env()?);
    run(service_fn(|LambdaEvent { payload, context }: LambdaEvent<Event>| {
        let deadline = handler::deadline(context.deadline());
        let reply = handler::handle(router.clone(), payload, context.request_id, deadline);
        async { reply.await.map_err(Error::from) }
    }))
    .await
}
