//! Sets up, runs and tests the whole stack on one machine.
//!
//! `cargo xtask --help` lists the commands. Nothing here is needed to build or deploy the functions:
//! cargo-lambda and the SAM CLI do both without it.

mod bench;
mod binaries;
mod checkout;
mod checks;
mod cli;
mod command;
mod demo;
mod demo_ci;
mod deploy;
mod emulator;
mod faults;
mod front;
mod issuer;
mod postgres;
mod process;
mod program;
mod progress;
mod published;
mod reconcile;
mod run;
mod runtime;
mod stack;
mod supervisor;
mod task;
mod telemetry;
mod token;
mod up;
mod venv;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(status) = process::become_child() {
        return status;
    }
    if let Some(status) = supervisor::supervise() {
        return status;
    }
    match cli::run() {
        Ok(status) => status,
        Err(_) if process::interrupted() => {
            progress::note("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            progress::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
