//! `cargo xtask load`: the loader of usage events, built and run.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{binaries, checkout::Checkout};

/// Becomes the loader: standard input and output, and the exit status, are its own.
pub(crate) fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let programs = binaries::build(&Checkout::find()?)?;
    let program = programs.get("load").context("the workspace has no program `load`")?;
    let failed = Command::new(program).args(arguments).exec();
    Err(failed).with_context(|| format!("can't run {}", program.display()))
}
