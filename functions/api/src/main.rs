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

use context::Context;
use lambda_http::{Error, run, tracing};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let context = Context::from_env().await?;
    run(router::router(context)).await
}
