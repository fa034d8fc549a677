//! Waiting for what happens by itself.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How long anything may take: longer than it does on a busy machine, shorter than anyone's patience.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Looks until `look` gives a value; what it gives instead is what it saw.
///
/// # Panics
/// When `patience` is over. The message says what was seen last.
pub async fn until<T, S: Debug>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Result<T, S>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if start.elapsed() > patience => {
                panic!("{what}: not within {} s; last seen: {seen:#?}", patience.as_secs());
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
