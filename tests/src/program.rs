//! The programs of the workspace.

use std::{path::PathBuf, process::Command};

/// Returns a program that was built beside these tests. It inherits the stack's variables.
///
/// # Panics
/// When it is missing.
pub fn program(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let path: PathBuf = test.parent().and_then(|deps| deps.parent()).expect("it is in target/debug/deps").join(name);
    assert!(path.exists(), "{} is missing; run `cargo xtask test`", path.display());
    Command::new(path)
}
