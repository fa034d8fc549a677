//! Changes as a file of the seven columns.

use std::fmt::Write as _;

use super::{Change, Figures, HEADER, Key};
use crate::{OrgId, measures::NAMES, reconciliation::column_text};

/// The lines of an adjustment. An export's file plus its adjustment, line by line, is the other file.
#[derive(Debug)]
pub struct Adjustment {
    org: String,
    text: String,
}

impl Adjustment {
    /// Begins with the header.
    pub fn new(org: OrgId) -> Self {
        Self { org: org.to_string(), text: HEADER.to_owned() }
    }

    /// Adds a change.
    pub fn add(&mut self, change: &Change) {
        write_line(&mut self.text, &self.org, change.key, change.difference);
    }

    /// Returns the size in bytes.
    pub const fn length(&self) -> usize {
        self.text.len()
    }

    /// Takes what was written since the last call.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}

/// Adds a line in the form of an export's file.
pub fn write_line(text: &mut String, org: &str, Key { bucket, model }: Key, figures: Figures) {
    let model = model.map(|model| model.to_string()).unwrap_or_default();
    let Figures { request_count, tokens_total, error_count, cost_total } = figures;
    let cost = column_text(NAMES.cost_total, cost_total);
    // A String takes everything.
    let _ = writeln!(text, "{bucket},{org},{model},{request_count},{tokens_total},{error_count},{cost}");
}
