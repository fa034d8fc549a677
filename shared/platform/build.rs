//! Names the version of the build: `ANALYTICS_VERSION` where it is set, the commit in a release build, else `dev`.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=ANALYTICS_VERSION");
    let given = env::var("ANALYTICS_VERSION").ok().filter(|version| !version.is_empty());
    let version = given.unwrap_or_else(|| {
        // A debug build does not ask: each commit would compile the workspace again.
        if env::var("PROFILE").as_deref() == Ok("release") {
            commit().unwrap_or("unknown".to_owned())
        } else {
            "dev".to_owned()
        }
    });
    println!("cargo::rustc-env=ANALYTICS_VERSION={version}");
}

/// Returns the commit of the working copy, or nothing outside of one.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    if !output.status.success() {
        return None;
    }
    if let Ok(head) = Command::new("git").args(["rev-parse", "--git-path", "logs/HEAD"]).output() {
        println!("cargo::rerun-if-changed={}", String::from_utf8_lossy(&head.stdout).trim());
    }
    String::from_utf8(output.stdout).ok().map(|commit| commit.trim().to_owned())
}
