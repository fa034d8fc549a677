//! The command-line client of the exports: creates, downloads, verifies and reconciles them over HTTP.
//!
//! It knows the service by its HTTP API alone. The answer of a command is all that stdout holds; progress and notes go
//! to stderr.

mod api;
mod audit;
mod changes;
mod ci;
mod cli;
mod create;
mod deliveries;
mod download;
mod facts;
mod file;
mod hold;
mod job;
mod ledger;
mod list;
mod offline;
mod outcome;
mod pack;
mod problem;
mod reconcile;
mod retry;
mod session;
mod settings;
mod text;
mod token;
mod transport;
mod usage;
mod verify;
mod wait;

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    cli::{Cli, Command, Export, Verify},
    outcome::Outcome,
    session::Session,
};

fn main() -> ExitCode {
    let cli = cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::failure(&format!("{error:#}"));
            outcome::exit_code(&error)
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    // Needs neither service nor token.
    if let Command::Verify(Verify { path, key: Some(key), .. }) = &cli.command {
        return offline::run(path, key, cli.connection.json);
    }
    if let Command::VerifyAudit(arguments) = &cli.command {
        return audit::verify(arguments, cli.connection.json);
    }
    if let Command::Changes(arguments) = &cli.command
        && let (Some(old), Some(new)) = (&arguments.old, &arguments.new)
    {
        if cli.connection.json {
            let error = "--json is not possible with files; --csv prints all changes".to_owned();
            return Err(Outcome::WrongUsage(error).into());
        }
        return changes::run_local(old, new, arguments);
    }
    let variable = |name: &str| std::env::var(name).ok();
    if let Command::Ci(command) = &cli.command {
        return ci::run(cli.connection, command, variable);
    }
    let session = Session::new(cli.connection, variable)?;
    match cli.command {
        // Above, since it needs no organization.
        Command::Ci(_) => Ok(()),
        Command::Export(Export::Create(arguments)) => create::run(&session, &arguments),
        Command::Export(Export::List(arguments)) => list::run(&session, &arguments),
        Command::Export(Export::Show { job }) => job::show(&session, job),
        Command::Export(Export::Download(arguments)) => download::run(&session, &arguments),
        Command::Export(Export::Pack(arguments)) => pack::run(&session, &arguments),
        Command::Export(Export::Reconcile(arguments)) => reconcile::run(&session, &arguments),
        Command::Audit(command) => audit::run(&session, &command),
        Command::Hold(command) => hold::run(&session, &command),
        Command::Ledger(command) => ledger::run(&session, &command),
        Command::Settings(command) => settings::run(&session, &command),
        Command::Deliveries(arguments) => deliveries::run(&session, &arguments),
        Command::Changes(arguments) => changes::run(&session, &arguments),
        Command::Usage(arguments) => usage::run(&session, &arguments),
        Command::Verify(arguments) => verify::run(&session, &arguments),
        Command::VerifyAudit(arguments) => audit::verify(&arguments, session.json),
    }
}
