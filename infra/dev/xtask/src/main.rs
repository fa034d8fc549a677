//! Sets up, runs and tests the whole stack on one machine.
//!
//! `cargo xtask --help` lists the commands. Nothing here is needed to build or deploy the functions:
//! cargo-lambda and the SAM CLI do both without it.

mod api;
mod bench;
mod binaries;
mod checkout;
mod cli;
mod client;
mod command;
mod demo;
mod doctor;
mod private_file;
mod process;
mod release;
mod run_folder;
mod runtime;
mod stack;
mod stack_env;
mod suites;
mod supervisor;
mod task;
mod token;
mod tool;
mod up;
mod venv;

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
            terminal::note("interrupted");
            ExitCode::from(130)
        }
        Err(error) => {
            terminal::failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
