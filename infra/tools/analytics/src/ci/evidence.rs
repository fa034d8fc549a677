//! `ci evidence`: the evidence of a month as one file.

use anyhow::Result;
use clap::Subcommand;
use domain::Month;
use serde_json::json;

use crate::{cli::Destination, file::Sink, session::Session};

#[derive(Debug, Subcommand)]
pub(crate) enum Evidence {
    /// Save the evidence of a month with its signed manifest and checksums in a zip
    Pack {
        /// Calendar month in UTC, such as 2024-01
        #[arg(long)]
        month: Month,
        /// Version of the targets to judge by; that which was in force at the month's end unless given
        #[arg(long, value_name = "NUMBER")]
        targets: Option<u32>,
        /// Path of the zip; `-` is stdout
        #[arg(long, short, value_name = "FILE")]
        out: Destination,
        /// Replace the file if it exists
        #[arg(long)]
        force: bool,
    },
}

pub(super) fn run(session: &Session, command: &Evidence) -> Result<()> {
    let Evidence::Pack { month, targets, out, force } = command;
    out.check(*force, session.json)?;
    let mut query = vec![("month", month.to_string())];
    query.extend(targets.map(|targets| ("targets", targets.to_string())));
    let bytes = session.api.get_bytes("/ci/evidence/pack", &query)?;
    let mut sink = Sink::open(out.clone(), *force)?;
    sink.write(&bytes)?;
    if let Some(path) = sink.finish()? {
        let path = path.display().to_string();
        let answer = json!({"month": month.to_string(), "file": path, "bytes": bytes.len()});
        session.answer(&answer.to_string(), || format!("{path}: {} bytes", bytes.len()));
    }
    Ok(())
}
