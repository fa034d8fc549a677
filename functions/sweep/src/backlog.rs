//! Whether the queue still holds messages. A job whose message is among them waits for a worker: another copy would not
//! run it sooner, and with the worker off each run would add one.

use jiff::{SignedDuration, Timestamp};
use jobs::queue::ExportQueue;
use platform::log::Causes;
use tokio::sync::OnceCell;
use tracing::warn;

/// The time after which a copy is sent all the same, since one lost message may hide behind the others.
const MAX_WAIT: SignedDuration = SignedDuration::from_hours(6);

/// The number of messages that wait on the queue, asked for once in a run.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    messages: OnceCell<u64>,
}

impl Backlog {
    /// Reports whether a message that counts as lost since `lost_at` may still wait on the queue. If the queue does not
    /// tell, it counts as lost.
    pub(crate) async fn may_hold(&self, lost_at: Timestamp, now: Timestamp, queue: &ExportQueue) -> bool {
        if now.duration_since(lost_at) >= MAX_WAIT {
            return false;
        }
        let ask = async || {
            queue.waiting().await.unwrap_or_else(|error| {
                warn!(error = %Causes(&error), "number of messages on the queue not known");
                0
            })
        };
        *self.messages.get_or_init(ask).await > 0
    }
}
