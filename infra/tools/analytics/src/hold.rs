//! `hold`: files that must not expire.

use anyhow::Result;
use clap::{Args, Subcommand};
use domain::{JobId, hold::Reason};
use serde::Deserialize;
use serde_json::json;

use crate::{
    api::read,
    session::Session,
    text::{Align, table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// Hold the file of a finished export: it does not expire until it is released
    Set(Change),
    /// Release the file, which then expires at its time
    Release(Change),
    /// Show the hold on a file, and its history
    Show {
        /// The job's UUID
        job: JobId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Change {
    /// The job's UUID
    job: JobId,
    /// Why, in at most 500 characters; it is kept
    #[arg(long)]
    reason: Reason,
}

/// The hold as the API returns it.
#[derive(Debug, Deserialize)]
struct Held {
    hold: Option<Present>,
    history: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Present {
    held_at: String,
    reason: String,
    protection: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    at: String,
    is_held: bool,
    reason: String,
}

pub(crate) fn run(session: &Session, command: &Hold) -> Result<()> {
    let path = |job: JobId| format!("/exports/{job}/hold");
    let body = match command {
        Hold::Set(Change { job, reason }) => session.api.put(&path(*job), &json!({"reason": reason}))?,
        Hold::Release(Change { job, reason }) => session.api.delete(&path(*job), &[("reason", reason.to_string())])?,
        Hold::Show { job } => session.api.get(&path(*job), &[])?,
    };
    let held: Held = read(&body)?;
    session.answer(&body, || held.text());
    if held.hold.is_some_and(|hold| hold.protection == "copy") {
        terminal::note("the store has no lock: whoever may delete objects of its bucket can delete the held file");
    }
    Ok(())
}

impl Held {
    fn text(&self) -> String {
        let first = match &self.hold {
            None => "not held".to_owned(),
            Some(Present { held_at, reason, protection }) => format!("held since {held_at} ({protection}): {reason}"),
        };
        let columns = [("", Align::Left), ("at", Align::Left), ("reason", Align::Left)];
        let row = |entry: &Entry| {
            let what = if entry.is_held { "held" } else { "released" };
            [what.to_owned(), entry.at.clone(), entry.reason.clone()]
        };
        let rows: Vec<[String; 3]> = self.history.iter().map(row).collect();
        if rows.is_empty() { first } else { format!("{first}\n{}", table(columns, &rows)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_shows_its_reason_and_its_history() {
        let held: Held = read(
            r#"{"jobId": "018cc251-f400-7000-8000-000000000000", "hold": {"heldAt": "2024-02-01T08:00:00Z",
            "reason": "request 12", "heldBy": "018cc251-f400-7000-8000-000000000000", "protection": "copy"},
            "history": [{"version": 1, "at": "2024-02-01T08:00:00Z", "isHeld": true, "reason": "request 12",
            "by": "018cc251-f400-7000-8000-000000000000"}]}"#,
        )
        .unwrap();
        let text = held.text();
        assert!(text.starts_with("held since 2024-02-01T08:00:00Z (copy): request 12\n"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
        let none: Held = read(r#"{"history": []}"#).unwrap();
        assert_eq!(none.text(), "not held");
    }
}
