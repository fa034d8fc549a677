//! Runs the HTTP function on Lambda.

use api::{Context, Event, answer, deadline, handle, request_span, router};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::aws;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    platform::log::init(env!("CARGO_PKG_NAME"));
    let context = Context::from_env(&aws::sdk_config()?)?;
    context.fetch_ahead();
    let router = router(context);
    run(service_fn(|LambdaEvent { payload, context }: LambdaEvent<Event>| {
        let deadline = deadline(context.deadline());
        let span = request_span(&payload);
        let reply = answer(span, handle(router.clone(), payload, context.request_id, deadline));
        async { reply.await.map_err(Error::from) }
    }))
    .await
}
