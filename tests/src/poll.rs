//! Waiting for what happens asynchronously.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// The time that anything may take: more than it takes on a busy machine.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
/// The time between two looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// Calls `look` until it returns a value. Its error is what it saw instead.
///
/// # Panics
/// After `patience`, with what was seen last.
pub async fn until<T, S: Debug>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Result<T, S>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > patience => {
                panic!("{what}: not within {} s; last seen: {seen:#?}", patience.as_secs());
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}
