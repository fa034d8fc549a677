//! The crates that a package may not compile, directly or through another.

use std::process::Command;

/// Prefixes of the SDK's crates. `aws-lc`, the crypto library, is none of them.
const AWS_SDK: &[&str] = &["aws-config", "aws-credential-types", "aws-runtime", "aws-sdk-", "aws-smithy-", "aws-types"];

/// Returns the names of all crates that the package compiles.
fn compiled(package: &str, more: &[&str]) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--locked", "--package", package, "--edges", "normal,build", "--prefix", "none"]).args(more);
    let output = tree.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(names.len() > 1, "{text}");
    names
}

fn compiles_none(package: &str, features: &[&str], banned: &[&str]) {
    for name in compiled(package, features) {
        assert!(!banned.iter().any(|banned| name.starts_with(banned)), "{package} compiles {name}");
    }
}

#[test]
fn shared_crates_but_one_do_not_know_the_lambda_runtime() {
    compiles_none("platform", &["--all-features"], &["lambda_", "postgres", "tokio-postgres"]);
    for package in ["domain", "copy", "postgres", "engine", "jobs", "objects", "usage", "ci", "auth", "changepoints"] {
        compiles_none(package, &[], &["lambda_"]);
    }
}

#[test]
fn the_domain_and_the_row_reader_compile_no_client() {
    for package in ["domain", "copy"] {
        compiles_none(package, &[], AWS_SDK);
        compiles_none(package, &[], &["hyper", "postgres", "reqwest", "rustls", "tokio", "tracing"]);
    }
}
