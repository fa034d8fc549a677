//! The fields of a span, as `tracing` reports them.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;
use tracing::field::{Field, Visit};

/// The name of a call's operation, in the SDK's spans.
pub(super) const METHOD: &str = "rpc.method";

/// The values of a span's fields by name. A later value replaces an earlier one.
#[derive(Debug, Default)]
pub(super) struct Fields(BTreeMap<&'static str, Value>);

impl Fields {
    /// Removes a field and returns its text. An empty text counts as none.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        match self.0.remove(name) {
            Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// Removes a field and returns its number.
    pub(super) fn take_number(&mut self, name: &str) -> Option<u64> {
        self.0.remove(name)?.as_u64()
    }

    /// Sets a field.
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.insert(name, value.into());
    }

    /// Returns the fields that are left.
    pub(super) fn into_rest(self) -> impl Iterator<Item = (&'static str, Value)> {
        self.0.into_iter()
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }
}
