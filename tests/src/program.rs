//! The programs of the workspace that are no functions.

use std::{path::PathBuf, process::Command};

/// A program that the build beside these tests has made, with the stack's variables.
///
/// # Panics
/// When it is not there.
pub fn program(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let path: PathBuf = test.parent().and_then(|deps| deps.parent()).expect("it is in target/debug/deps").join(name);
    assert!(path.exists(), "{} is missing; run `cargo xtask test`", path.display());
    Command::new(path)
}
