//! What was deleted, what is kept, and why.

use std::fmt::Write as _;

use domain::OrgId;
use jiff::Timestamp;
use serde::Serialize;

/// The report of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    organization: OrgId,
    at: Timestamp,
    /// `true` if nothing was deleted: the counts are of what would be.
    is_dry_run: bool,
    deleted: Vec<Deleted>,
    kept: Vec<Kept>,
    /// What is still there and should not be.
    pub(crate) left: u64,
    /// Events that came after the erasure, and were stored nowhere.
    pub(crate) late_events: u64,
    /// What this program does not reach.
    beyond: [&'static str; 5],
}

#[derive(Debug, Serialize)]
struct Deleted {
    store: &'static str,
    what: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Kept {
    what: &'static str,
    count: u64,
    why: &'static str,
}

/// What stays for a while in places that nobody can delete from, or that belong to others.
const BEYOND: [&str; 5] = [
    "events about exports that were published have their ids and sums for 8 days, and copies in buckets of the organization stay",
    "point-in-time recovery of the table has deleted items for 35 days",
    "backups of the database have deleted rows for as long as its owner keeps them",
    "logs name the organization and pseudonyms of its people for LogRetentionDays",
    "rollup tables that belong to the platform, and accounts at the identity provider, are theirs to erase",
];

impl Report {
    pub(crate) const fn new(organization: OrgId, deletes: bool, at: Timestamp) -> Self {
        Self {
            organization,
            at,
            is_dry_run: !deletes,
            deleted: Vec::new(),
            kept: Vec::new(),
            left: 0,
            late_events: 0,
            beyond: BEYOND,
        }
    }

    /// Adds to the count of a table, a folder or a kind of item. A number before a kind is only for its order.
    pub(crate) fn deleted(&mut self, store: &'static str, what: &str, count: u64) {
        let what = what.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        match self.deleted.iter_mut().find(|line| line.store == store && line.what == what) {
            Some(line) => line.count += count,
            None => self.deleted.push(Deleted { store, what: what.to_owned(), count }),
        }
    }

    pub(crate) fn kept(&mut self, what: &'static str, count: u64, why: &'static str) {
        self.kept.push(Kept { what, count, why });
    }

    /// Returns the report for people.
    pub(crate) fn text(&self) -> String {
        let verb = if self.is_dry_run { "would be deleted" } else { "deleted" };
        let mut text = format!("organization {}, {}\n\n{verb}:\n", self.organization, self.at);
        for Deleted { store, what, count } in &self.deleted {
            let _ = writeln!(text, "  {count:>10}  {store}: {what}");
        }
        text.push_str("\nkept:\n");
        for Kept { what, count, why } in &self.kept {
            let _ = writeln!(text, "  {count:>10}  {what}: {why}");
        }
        text.push_str("\nnot reached:\n");
        for sentence in self.beyond {
            let _ = writeln!(text, "              {sentence}");
        }
        let _ = writeln!(text, "\n{} late events were refused since the erasure", self.late_events);
        if self.is_dry_run {
            text.push_str("nothing was deleted: give --confirm and the organization's UUID to delete\n");
        }
        text
    }
}
