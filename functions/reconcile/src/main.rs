//! The reconciliation: runs every night and compares the newest export of some organizations, and each file that is booked
//! for one of the last months, with the present figures. Nobody else would notice figures that changed without a record.

mod bookings;
mod context;
mod event;
mod handler;
mod metrics;
mod sample;

use std::{process::ExitCode, time::Duration};

use context::Context;
use lambda::{Error, Invocation};
use platform::{Deadline, aws, trace};

/// Time reserved at the end of an invocation to finish the current comparison.
const RESERVE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    platform::log::init(env!("CARGO_PKG_NAME"));
    lambda::exit(run().await)
}

async fn run() -> Result<(), Error> {
    let context = Context::from_env(&aws::sdk_config()?)?;
    lambda::run(async |invocation: Invocation<serde_json::Value>| {
        let deadline = Deadline::new(invocation.ends_at, RESERVE);
        let order = event::read(&invocation.event)?;
        Ok(trace::invocation(handler::handle(order, &invocation.request_id, deadline, &context)).await?)
    })
    .await
}
