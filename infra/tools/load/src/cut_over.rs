//! The day from which an organization's raw events are complete.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use jiff::{civil::Time, tz::TimeZone};
use postgres::Database;

use crate::cli::CutOver;

/// Sets the day.
pub(crate) async fn run(cut_over: CutOver) -> Result<ExitCode> {
    let CutOver { organization, from, force } = cut_over;
    let first = TimeZone::UTC.to_timestamp(from.to_datetime(Time::midnight())).context("the day is out of range")?;
    let client = Database::from_env("analytics-exports-load")?.connect().await?;
    let is_new = usage::set_complete_from(&client, organization.into(), first, force)
        .await
        .context("the cut-over was not set")?;
    if is_new {
        eprintln!("raw events of {organization} are complete from {first}");
    } else {
        eprintln!("raw events of {organization} were complete from {first} already");
    }
    Ok(ExitCode::SUCCESS)
}
