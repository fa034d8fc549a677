//! `cargo xtask reingest`: the program of the same name, on the stack of `up`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::{
    binaries,
    checkout::Checkout,
    command::{Output, Spec},
};

/// Builds the program and runs it with these arguments.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let checkout = Checkout::find()?;
    let path = checkout.stack_env();
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "no stack is up in this checkout ({} is missing); start one with `cargo xtask up`",
            checkout.short(&path)
        )
    })?;
    let binaries = binaries::build(&checkout)?;
    let program = binaries.get("reingest").context("the workspace has no program `reingest`")?;
    // It takes this for Ctrl-C, and says how to go on.
    let spec = Spec::new(program).args(arguments).stop(Signal::INT);
    let spec = variables(&text).fold(spec, |spec, (name, value)| spec.env(name, value));
    Ok(if spec.run(&Output::Inherit).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `up` wrote: lines of the form `export NAME='value'`.
fn variables(text: &str) -> impl Iterator<Item = (String, String)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
        Some((name.to_owned(), value.replace(r"'\''", "'")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_reads_is_read() {
        let text = "# a comment\nexport A='1=2'\nexport B='it'\\''s'\n";
        let expected = [("A", "1=2"), ("B", "it's")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert!(variables(text).eq(expected));
    }
}
