//! The HTTP function: validates requests for exports, queues them, and answers for what became of them.

mod ci;
mod context;
mod exports;
mod openapi;
mod problem;
mod query;
mod router;
mod scope;
mod status;
mod usage;

use context::Context;
use lambda_http::{Error, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(router::router(context)).await
}
