//! Runs the HTTP function on Lambda.

use std::process::ExitCode;

use api::{Context, Event, answer, deadline, handle, request_span, router};
use lambda::{Error, Invocation};
use platform::aws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env(&aws::sdk_config()?)?;
    context.fetch_ahead();
    let router = router(context);
    lambda::run(async |Invocation { event, request_id, ends_at }: Invocation<Event>| {
        let span = request_span(&event);
        Ok(answer(span, handle(router.clone(), event, request_id, deadline(ends_at))).await?)
    })
    .await
}
