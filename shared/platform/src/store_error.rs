//! The error of an object store.

use std::error::Error;

/// A failed request to the object store. Names the object; the source is the error of the client.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} object {key:?}")]
pub struct StoreError {
    action: &'static str,
    key: String,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// Creates the error of an action on the object at `key`; `action` is a verb, such as `read`.
    pub fn new(action: &'static str, key: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { action, key: key.to_owned(), source: source.into() }
    }
}
