//! The workspace's programs, by the one build that every command shares.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    checkout::Checkout,
    command::{Output, Spec},
};

/// Paths of programs by name.
pub(crate) type Binaries = BTreeMap<String, PathBuf>;

/// Builds all programs of the workspace but the one that measures. Cargo shows its own progress.
///
/// Always the whole workspace: another selection would choose other features, and compile dependencies again.
pub(crate) fn build(checkout: &Checkout) -> Result<Binaries> {
    cargo_build(checkout, &["--workspace", "--bins", "--exclude", "bench"])
}

/// Builds the functions and what measures them, as they are deployed: with the release profile.
pub(crate) fn build_release(checkout: &Checkout) -> Result<Binaries> {
    let others = ["load", "migrate", "reingest", "tests", "xtask"].map(|package| ["--exclude", package]);
    cargo_build(checkout, &[&["--release", "--workspace", "--bins"], others.concat().as_slice()].concat())
}

fn cargo_build(checkout: &Checkout, selection: &[&str]) -> Result<Binaries> {
    terminal::line(&terminal::paint("2", &format!("cargo build {}", selection.join(" "))));
    let mut child = cargo(checkout)
        .arg("build")
        .args(selection.iter().copied())
        .args(["--message-format", "json-render-diagnostics"])
        .spawn(&Output::Pipe)?;
    let output = child.take_stdout().context("cargo has no output")?;
    let mut binaries = Binaries::new();
    for line in BufReader::new(output).lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        if let (Some(name), Some(path)) = (message["target"]["name"].as_str(), message["executable"].as_str()) {
            binaries.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    if !child.wait()?.success() {
        bail!("the build failed");
    }
    Ok(binaries)
}

/// Cargo, without what the cargo that runs us said about this package.
pub(crate) fn cargo(checkout: &Checkout) -> Spec {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let spec = Spec::new(program).folder(checkout.root());
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        })
        .fold(spec, Spec::env_remove)
        .env_remove("LD_LIBRARY_PATH")
}
