//! The number of documents by their result.

use ci::telemetry::{Outcome, Stored};

/// The number of documents so far, by their result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) new: u64,
    pub(crate) replaced: u64,
    pub(crate) unchanged: u64,
    pub(crate) rejected: u64,
    /// Objects without the suffix `.json`, or deleted meanwhile.
    pub(crate) passed_over: u64,
}

impl Counts {
    /// Returns the number of all documents.
    pub(crate) const fn total(&self) -> u64 {
        self.new + self.replaced + self.unchanged + self.rejected + self.passed_over
    }

    /// Counts a document; `None` for an object that is not a document by its key.
    pub(crate) fn add(&mut self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Run(Stored::New) | Outcome::Tests(Stored::New)) => self.new += 1,
            Some(Outcome::Run(Stored::Replaced) | Outcome::Tests(Stored::Replaced)) => self.replaced += 1,
            Some(Outcome::Run(Stored::Unchanged) | Outcome::Tests(Stored::Unchanged)) => self.unchanged += 1,
            Some(Outcome::Rejected { .. }) => self.rejected += 1,
            Some(Outcome::Gone) | None => self.passed_over += 1,
        }
    }
}
