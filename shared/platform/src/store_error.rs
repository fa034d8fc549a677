//! The error of an object store.

use std::error::Error;

/// A request that the object store did not fulfil. Names the object; the source has the store's own words.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} object {key:?}")]
pub struct StoreError {
    action: &'static str,
    key: String,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// Creates the error of an action, in words such as `read`, on the object at `key`.
    pub fn new(action: &'static str, key: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { action, key: key.to_owned(), source: source.into() }
    }
}
