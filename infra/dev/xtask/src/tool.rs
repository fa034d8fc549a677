//! `cargo xtask load` and `cargo xtask reingest`: the programs of the same names, on the stack of `up`.

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::{
    binaries,
    checkout::Checkout,
    command::{Output, Spec},
    stack_env,
};

/// Builds a program and runs it with these arguments, on the stdin and to the exit status that it would have by itself.
pub(crate) fn run(name: &str, arguments: &[OsString]) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    let variables = stack_env::variables(&checkout)?;
    let binaries = binaries::build(&checkout)?;
    let program = binaries.get(name).with_context(|| format!("the workspace has no program `{name}`"))?;
    // It takes this for Ctrl-C, and says how to go on.
    let spec = Spec::new(program).args(arguments).reads_stdin().stop(Signal::INT);
    let code = spec.envs(variables).spawn(&Output::Inherit)?.wait()?.code();
    Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
