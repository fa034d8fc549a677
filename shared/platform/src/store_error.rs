//! The error of an object store.

use std::error::Error;

/// A failed request to the object store. Names the object; the source is the error of the client.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} object {key:?}")]
pub struct StoreError {
    action: &'static str,
    key: String,
    is_refused: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// Creates the error of an action on the object at `key`; `action` is a verb, such as `read`. The same request may
    /// succeed later.
    pub fn new(action: &'static str, key: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { action, key: key.to_owned(), is_refused: false, source: source.into() }
    }

    /// Creates the error of an action that the store refuses, and will refuse again.
    pub fn refused(action: &'static str, key: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { is_refused: true, ..Self::new(action, key, source) }
    }

    /// Reports whether the store will refuse the same request again, until its settings or rights change.
    pub const fn is_refused(&self) -> bool {
        self.is_refused
    }
}
