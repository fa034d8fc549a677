//! The loop of a function on Lambda, and the only crate that knows the runtime. Each event becomes a value, each error a
//! code and a sentence, and each line of the log has the ids of its invocation.

mod delivery;
mod failure;
pub mod retry;

use std::{process::ExitCode, time::SystemTime};

use lambda_runtime::{LambdaEvent, service_fn};
use platform::{invocation::Ids, log::Causes};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tracing::error;

pub use delivery::{Delivery, InvalidDelivery};
pub use failure::{Code, Failure};
pub use lambda_runtime::Error;

/// The code of a process that could not start, or lost Lambda.
const STOPPED: &str = "function_stopped";

/// An event, and what Lambda says of its invocation.
#[derive(Debug)]
pub struct Invocation<E> {
    /// The event.
    pub event: E,
    /// The id that Lambda gave the invocation.
    pub request_id: String,
    /// The time at which Lambda ends the invocation.
    pub ends_at: SystemTime,
}

/// Hands each event to the handler, until the process ends.
///
/// A failure is logged here, once, and is the answer to the invocation: `errorType` is its code, `errorMessage` its
/// sentence.
///
/// # Errors
/// When Lambda cannot be reached.
pub async fn run<E, T>(handler: impl AsyncFn(Invocation<E>) -> Result<T, Failure>) -> Result<(), Error>
where
    E: DeserializeOwned,
    T: Serialize,
{
    // The runtime would log an event that it cannot read by the Debug form of its error.
    let handle = async |LambdaEvent { payload, context }: LambdaEvent<Box<RawValue>>| {
        let ends_at = context.deadline();
        let ids = Ids { request_id: context.request_id.clone(), xray_trace_id: context.xray_trace_id };
        let work = async {
            let event = serde_json::from_str(payload.get()).map_err(Failure::of_event)?;
            handler(Invocation { event, request_id: context.request_id, ends_at }).await
        };
        // Boxed, since the futures of all layers would nest deeper than the compiler allows.
        ids.scope(Box::pin(async { work.await.inspect_err(Failure::log) })).await
    };
    lambda_runtime::run(service_fn(handle)).await
}

/// Returns the exit status of a process. The reason for which it could not start, or lost Lambda, is logged here as one
/// line, in the names that a failed invocation has.
pub fn exit(ended: Result<(), Error>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!(errorType = STOPPED, errorMessage = %Causes(&*reason), "function stopped");
            ExitCode::FAILURE
        }
    }
}
