//! The sweep: runs on a schedule and finds the jobs that nobody works on.

mod context;
mod sweep;

use context::Context;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init();
    let context = Context::from_env()?;
    run(service_fn(async |event: LambdaEvent<serde_json::Value>| {
        // What fired it does not matter: a rule, or a person.
        Ok::<_, Error>(sweep::sweep(&event.context.request_id, &context).await?)
    }))
    .await
}
