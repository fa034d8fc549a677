//! The routes of the ledger: what an organization's books say of its files.

pub(crate) mod booking;
pub(crate) mod comparisons;
