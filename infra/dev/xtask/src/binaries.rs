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

/// All packages but the one that measures.
const PROGRAMS: [&str; 3] = ["--workspace", "--exclude", "bench"];

/// Builds all programs of the workspace but the one that measures. Cargo shows its own progress.
///
/// Always the whole workspace: another selection would choose other features, and compile dependencies again.
pub(crate) fn build(checkout: &Checkout) -> Result<Binaries> {
    cargo_build(checkout, &[&["--bins"], PROGRAMS.as_slice()].concat())
}

/// Builds the functions and what measures them, as they are deployed: with the release profile.
pub(crate) fn build_release(checkout: &Checkout) -> Result<Binaries> {
    let others = ["analytics", "ci-run", "erase", "fuzz", "migrate", "reingest", "tests", "xtask"]
        .map(|package| ["--exclude", package]);
    cargo_build(checkout, &[&["--release", "--workspace", "--bins"], others.concat().as_slice()].concat())
}

/// The instrumentation by which libFuzzer sees what an input reaches: that of `cargo fuzz`, without the sanitizers, which
/// need a nightly compiler.
const INSTRUMENTATION: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Builds the fuzzer and returns its path.
pub(crate) fn build_fuzzer(checkout: &Checkout) -> Result<PathBuf> {
    let folder = checkout.root().join("infra/dev/fuzz/program");
    // With a target, so that flags are not for programs that run during the build.
    let selection = ["--release", "--locked", "--target", "host-tuple"];
    terminal::line(&terminal::paint("2", &format!("cargo build {}, in infra/dev/fuzz/program", selection.join(" "))));
    let spec = cargo(checkout).folder(folder).arg("build").args(selection);
    let spec = spec.arg("--target-dir").arg(checkout.root().join("target/fuzz"));
    let spec = spec.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTATION.join("\u{1f}"));
    executables(spec)?.remove("fuzz-program").context("the build made no fuzzer")
}

fn cargo_build(checkout: &Checkout, selection: &[&str]) -> Result<Binaries> {
    terminal::line(&terminal::paint("2", &format!("cargo build {}", selection.join(" "))));
    executables(cargo(checkout).arg("build").args(selection.iter().copied()))
}

/// Runs a build and returns the programs that it made.
fn executables(build: Spec) -> Result<Binaries> {
    let mut child = build.args(["--message-format", "json-render-diagnostics"]).spawn(&Output::Pipe)?;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The packages with their features, as a build of this selection chooses them.
    fn features(checkout: &Checkout, edges: &str, selection: &[&str]) -> BTreeSet<String> {
        let output = std::process::Command::new(std::env::var_os("CARGO").expect("cargo runs this test"))
            .current_dir(checkout.root())
            .args(["tree", "--locked", "--prefix", "none", "--format", "{p} with {f}", "--edges", edges])
            .args(selection)
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    }

    #[test]
    fn the_tests_use_what_the_build_of_the_programs_compiled() {
        let checkout = Checkout::find().expect("a checkout");
        let tests = features(&checkout, "normal,build,dev", &["--workspace"]);
        let programs = features(&checkout, "normal,build", &PROGRAMS);
        let compiled_twice: Vec<_> = programs.difference(&tests).collect();
        assert!(
            compiled_twice.is_empty(),
            "tests choose other features; name them in tests/Cargo.toml: {compiled_twice:#?}"
        );
    }
}
