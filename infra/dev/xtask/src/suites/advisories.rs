//! Known vulnerabilities of everything that is locked: crates, packages of PyPI, packages of npm.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::session::Session;
use crate::{checkout::Checkout, command::Spec, venv};

/// The manifests of the workspaces.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "infra/dev/fuzz/program/Cargo.toml"];

/// The folder of the study of the detector, whose lock is not below `infra/dev`.
const STUDY: &str = "shared/changepoints/study";

/// Checks all locks. It needs the network and fails without, since it runs only when it is named.
pub(super) fn run(session: &mut Session<'_>) -> Result<()> {
    let checkout = session.checkout().clone();
    for manifest in MANIFESTS {
        let deny = Spec::new(session.tool("cargo-deny")?).folder(checkout.root());
        let deny = deny.args(["--manifest-path", manifest, "--workspace", "check", "advisories"]);
        session.program(&format!("advisories of {manifest}"), deny)?;
    }
    // With the user's environment, which says how the network is reached.
    let folder = checkout.root().join("infra/dev/hardening");
    let audit = Spec::new(venv::hardening(&checkout)?.join("python")).folder(checkout.root());
    let audit = audit.arg(folder.join("packages.py")).arg("infra/dev/hardening/packages.yaml");
    session.program("advisories of PyPI", audit.args(locks(&checkout, &["requirements.txt", "sources.txt"])?))?;
    let node = checkout.root().join(".venv-contract");
    venv::ensure_folder(&checkout, &node, &checkout.root().join("infra/dev/contract/requirements.txt"))?;
    let path = std::env::join_paths([node.join("bin"), "/usr/bin".into(), "/bin".into()])?;
    for lock in locks(&checkout, &["package-lock.json"])? {
        let folder = checkout.root().join(lock.parent().context("a lock without a folder")?);
        let audit = Spec::new(node.join("bin/npm")).env("PATH", &path).folder(folder);
        session.program("advisories of npm", audit.args(["audit", "--package-lock-only"]))?;
    }
    Ok(())
}

/// The locks of these names in the folders of `infra/dev` and in [`STUDY`], relative to the checkout.
fn locks(checkout: &Checkout, names: &[&str]) -> Result<Vec<PathBuf>> {
    let folder = Path::new("infra/dev");
    let entries = std::fs::read_dir(checkout.root().join(folder)).context("can't read infra/dev")?;
    let mut locks = Vec::new();
    let mut folders = vec![PathBuf::from(STUDY)];
    for entry in entries {
        folders.push(folder.join(entry.context("can't read infra/dev")?.file_name()));
    }
    for folder in folders {
        let found = names.iter().map(|name| folder.join(name));
        locks.extend(found.filter(|path| checkout.root().join(path).exists()));
    }
    locks.sort();
    ensure!(!locks.is_empty(), "infra/dev has no {}", names.join(" and no "));
    Ok(locks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lock_that_git_knows_is_looked_up() {
        let checkout = Checkout::find().expect("a checkout");
        let names = ["requirements.txt", "sources.txt", "package-lock.json"];
        let output = std::process::Command::new("git").current_dir(checkout.root()).arg("ls-files").output();
        let text = String::from_utf8(output.expect("git runs").stdout).expect("text");
        let known = text.lines().map(Path::new);
        let known: Vec<_> = known.filter(|path| names.iter().any(|name| path.ends_with(name))).collect();
        assert_eq!(locks(&checkout, &names).expect("locks"), known);
        let manifests: Vec<_> = text.lines().filter(|path| path.ends_with("Cargo.lock")).collect();
        let locks: Vec<_> = MANIFESTS.iter().map(|path| path.replace("Cargo.toml", "Cargo.lock")).collect();
        assert_eq!(locks, manifests);
    }
}
