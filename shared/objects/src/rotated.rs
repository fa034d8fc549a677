//! A value from a secret that can be replaced while the process runs.

use std::time::{Duration, Instant};

use platform::secret::{Secret, SecretError};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

/// The time after which the secret is read again. A key that was replaced signs links for no longer.
const LIFETIME: Duration = Duration::from_secs(60);

/// A value made of the current version of a secret.
#[derive(Debug)]
pub(crate) struct Rotated<T> {
    secret: Secret,
    known: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Rotated<T> {
    pub(crate) fn new(secret: Secret) -> Self {
        Self { secret, known: Mutex::new(None) }
    }

    /// Returns what `make` made of the secret within the last [`LIFETIME`], or makes it anew.
    ///
    /// # Errors
    /// When the secret cannot be read, and those of `make`.
    pub(crate) async fn get<V, E>(&self, make: impl FnOnce(V) -> Result<T, E>) -> Result<T, E>
    where
        V: DeserializeOwned,
        E: From<SecretError>,
    {
        let mut known = self.known.lock().await;
        if let Some((read_at, value)) = &*known
            && read_at.elapsed() < LIFETIME
        {
            return Ok(value.clone());
        }
        let value = make(self.secret.current().await?)?;
        *known = Some((Instant::now(), value.clone()));
        Ok(value)
    }
}
