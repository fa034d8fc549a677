//! A second build of the same commit, with every folder at another path.

use std::{os::unix::fs::symlink, path::Path};

use anyhow::{Context, Result, bail};

use super::{Place, Release, build, files, git, make};
use crate::{checkout::Checkout, command::Output, run_folder::RunFolder};

/// Reports whether the checkout has changes that no commit has.
pub(super) fn has_changes(checkout: &Checkout, run: &RunFolder) -> Result<bool> {
    let status = git(checkout.root()).args(["status", "--porcelain"]).read(&run.log("git"))?;
    Ok(!status.trim().is_empty())
}

/// Builds the commit again and compares each file with the first build's.
pub(super) fn check(checkout: &Checkout, run: &RunFolder, first: &Path, release: &Release) -> Result<()> {
    terminal::heading("The second build");
    let place = clone(checkout, run)?;
    let second = run.path("second-zips");
    make(checkout, run, &place, &second, release)?;
    let mut different = Vec::new();
    for path in files(first)? {
        let name = path.file_name().unwrap_or_default();
        if std::fs::read(&path)? != std::fs::read(second.join(name)).unwrap_or_default() {
            different.push(name.to_string_lossy().into_owned());
        }
    }
    if files(&second)?.len() != files(first)?.len() {
        different.push("the number of files".to_owned());
    }
    if different.is_empty() {
        return Ok(());
    }
    let kept = checkout.local().join("release-second");
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::rename(&second, &kept).context("can't keep the second build")?;
    bail!("two builds of one commit differ in {}; the second is in {}", different.join(", "), checkout.short(&kept))
}

/// Clones the commit. Downloads are shared by links, whose paths are others.
fn clone(checkout: &Checkout, run: &RunFolder) -> Result<Place> {
    let log = run.log("clone");
    let folder = run.path("elsewhere");
    let source = folder.join("a folder");
    std::fs::create_dir_all(&folder)?;
    let commit = git(checkout.root()).args(["rev-parse", "HEAD"]).read(&log)?;
    let clone = git(checkout.root()).args(["clone", "--quiet", "--no-checkout"]).arg(checkout.root()).arg(&source);
    clone.run(&Output::File(&log))?;
    git(&source).args(["checkout", "--quiet", "--detach", commit.trim()]).run(&Output::File(&log))?;
    let home = build::cargo_home()?;
    let cargo_home = folder.join("cargo");
    std::fs::create_dir_all(&cargo_home)?;
    for name in ["registry", "git", "config.toml"] {
        let original = home.join(name);
        if original.exists() {
            symlink(&original, cargo_home.join(name)).with_context(|| format!("can't link {}", original.display()))?;
        }
    }
    Ok(Place::elsewhere(source, folder.join("target"), cargo_home, folder.join("cache")))
}
