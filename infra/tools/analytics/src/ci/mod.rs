//! `ci`: the targets of CI's runs, and the evidence of a month.

mod evidence;
mod targets;

use anyhow::Result;
use clap::Subcommand;

use crate::{cli::Connection, session::Session};

#[derive(Debug, Subcommand)]
pub(crate) enum Ci {
    /// Show, change or check the targets
    #[command(subcommand)]
    Targets(targets::Targets),
    /// Save the evidence of a month
    #[command(subcommand)]
    Evidence(evidence::Evidence),
}

/// Runs a command. Only what needs the service opens a session.
pub(crate) fn run(connection: Connection, command: &Ci, variable: impl Fn(&str) -> Option<String>) -> Result<()> {
    let json = connection.json;
    let open = || Session::of_platform(connection, variable);
    match command {
        Ci::Targets(targets::Targets::Check { file }) => targets::check(file, json),
        Ci::Targets(command) => targets::run(&open()?, command),
        Ci::Evidence(command) => evidence::run(&open()?, command),
    }
}
