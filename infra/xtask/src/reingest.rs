//! `cargo xtask reingest`: the program of the same name, on the stack of `up`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::{
    binaries,
    checkout::Checkout,
    command::{Output, Spec},
    published,
};

/// Builds the program and runs it with these arguments.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    let variables = published::variables(&checkout)?;
    let binaries = binaries::build(&checkout)?;
    let program = binaries.get("reingest").context("the workspace has no program `reingest`")?;
    // It takes this for Ctrl-C, and says how to go on.
    let spec = Spec::new(program).args(arguments).stop(Signal::INT);
    let spec = variables.into_iter().fold(spec, |spec, (name, value)| spec.env(name, value));
    Ok(if spec.run(&Output::Inherit).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
